import Base
import Bytes
import Glibc
import Testing

@testable import Runtime

@Suite("Connections")
struct ConnectionTests {
    @Test("pipelined frames are echoed wherever the stream of bytes is cut in two")
    func splitEverywhere() throws {
        let payloads = [[], pattern(1), pattern(5), pattern(30)]
        let bytes = framed(payloads)
        var cut = 0
        var echoed: [[UInt8]] = []
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in Frames.echo() }
            let client = Frames()
            // The second part leaves when the server has seen the first.
            var receivedBefore = 0
            var rest: ArraySlice<UInt8>?
            func sendFirst(_ connection: Connection) {
                receivedBefore = loop.counters.bytesReceived
                connection.output.append(Array(bytes[..<cut]))
                connection.outputAdded()
                rest = bytes[cut...]
                if cut == 0 { sendRest(connection) }
            }
            func sendRest(_ connection: Connection) {
                guard let part = rest else { return }
                rest = nil
                connection.output.append(Array(part))
                connection.outputAdded()
            }
            client.onFrame = { frame, connection in
                echoed.append(frame)
                guard echoed.count == payloads.count else { return }
                #expect(echoed == payloads, "cut at \(cut)")
                echoed = []
                cut += 1
                if cut <= bytes.count { sendFirst(connection) } else { loop.stop() }
            }
            loop.connectToLoopback(listener.port, client) { connection in
                sendFirst(connection)
                loop.atTurnEnd {
                    // What comes back of whole frames in the first part counts twice, so "at least".
                    if loop.counters.bytesReceived - receivedBefore >= cut { sendRest(connection) }
                }
            }
        }
        #expect(cut == bytes.count + 1)
    }

    @Test("frames sent byte by byte are echoed, and no buffer stays with an idle connection")
    func byteByByte() throws {
        let bytes = framed([pattern(3), pattern(40), []])
        var frames = 0
        try onLoop { loop in
            weak var server: Connection?
            let listener = try loop.listenOnLoopback {
                server = $0
                return Frames.echo()
            }
            let client = Frames { _, connection in
                frames += 1
                guard frames == 3 else { return }
                #expect(server?.input == nil)
                #expect(server?.gathering == nil)
                #expect(connection.writing == nil)
                loop.stop()
            }
            loop.connectToLoopback(listener.port, client) { connection in
                var index = 0
                loop.schedule(afterMilliseconds: 0, repeatingEveryMilliseconds: 1) {
                    guard index < bytes.count else { return }
                    connection.output.append(bytes[index])
                    connection.outputAdded()
                    index += 1
                }
            }
        }
        #expect(frames == 3)
    }

    @Test("large frames arrive whole", arguments: [4096, 4097, 262_140, 262_144, 1_000_000, Limits.frameSizeMaximum])
    func largeFrames(size: Int) throws {
        let payload = pattern(size)
        var echoes = 0
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in Frames.echo() }
            let client = Frames { frame, _ in
                #expect(frame == payload)
                echoes += 1
                if echoes == 2 { loop.stop() }
            }
            loop.connectToLoopback(listener.port, client) { connection in
                send(payload, on: connection)
                send(payload, on: connection)
            }
        }
        #expect(echoes == 2)
    }

    @Test("a peer that announces a large frame gets no memory for it before it sends it")
    func announcedFrame() throws {
        try onLoop { loop in
            var server: Connection?
            let listener = try loop.listenOnLoopback {
                server = $0
                return Frames.echo()
            }
            loop.connectToLoopback(listener.port, Frames()) { connection in
                connection.output.append(bigEndian: UInt32(Limits.frameSizeMaximum))
                connection.output.append([UInt8](repeating: 7, count: 50_000))
                connection.outputAdded()
            }
            loop.atTurnEnd {
                guard let input = server?.input, input.count == 50_004 else { return }
                #expect(input.capacity <= 256 * 1024)
                loop.stop()
            }
        }
    }

    @Test("a frame above the limit closes the connection")
    func tooLarge() throws {
        var reason: CloseReason?
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in
                let server = Frames()
                server.onClosed = { reason = $0 }
                return server
            }
            let client = Frames()
            client.onClosed = { _ in loop.stop() }
            loop.connectToLoopback(listener.port, client) { connection in
                connection.output.append(bigEndian: UInt32(Limits.frameSizeMaximum + 2000))
                connection.outputAdded()
            }
        }
        #expect(reason == .inputOverflow)
    }

    @Test("a peer that does not read its answers stops being read, then gets all of them")
    func backPressure() throws {
        let requests = 2000
        let answer = pattern(64 * 1024)
        var answered = 0
        var drained = 0
        var unsentMaximum = 0
        var wasCongested = false
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in
                let server = Frames { _, connection in
                    send(answer, on: connection)
                    unsentMaximum = max(unsentMaximum, connection.unsentBytes)
                    wasCongested = wasCongested || connection.isCongested
                }
                server.onDrained = { _ in drained += 1 }
                return server
            }
            let client = Frames { frame, _ in
                #expect(frame == answer)
                answered += 1
                if answered == requests { loop.stop() }
            }
            loop.connectToLoopback(listener.port, client) { connection in
                for _ in 0..<requests { send(pattern(1000), on: connection) }
                connection.pauseReading()
                loop.schedule(afterMilliseconds: 200) { connection.resumeReading() }
            }
        }
        #expect(answered == requests)
        #expect(wasCongested)
        #expect(drained > 0)
        #expect(unsentMaximum <= 1024 * 1024 + 2 * answer.count)
    }

    @Test("a peer that takes nothing while its output grows without end is cut off")
    func outputOverflow() throws {
        var options = ConnectionOptions()
        options.outputMaximum = 8 * 1024 * 1024
        var reason: CloseReason?
        try onLoop { loop in
            let listener = try loop.listenOnLoopback(options: options) { connection in
                let server = Frames()
                server.onClosed = {
                    reason = $0
                    loop.stop()
                }
                // A handler that does not look at `isCongested`, as a broadcast would not.
                loop.schedule(afterMilliseconds: 1, repeatingEveryMilliseconds: 1) {
                    send(pattern(512 * 1024), on: connection)
                }
                return server
            }
            loop.connectToLoopback(listener.port, Frames()) { $0.pauseReading() }
        }
        #expect(reason == .outputOverflow)
    }

    @Test("a paused handler gets the frames that it left, in order, when it resumes")
    func pause() throws {
        var frames: [[UInt8]] = []
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in PausingHandler { frames.append($0) } }
            loop.connectToLoopback(listener.port, Frames()) { connection in
                for number in 0..<UInt8(10) { send([number], on: connection) }
                loop.schedule(afterMilliseconds: 30) { send([10], on: connection) }
            }
            loop.atTurnEnd { if frames.count == 11 { loop.stop() } }
        }
        #expect(frames == (0...10).map { [$0] })
    }

    @Test("pausing and resuming within one call changes nothing")
    func pauseAndResume() throws {
        var frames = 0
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in
                Frames { _, connection in
                    connection.pauseReading()
                    connection.resumeReading()
                    frames += 1
                    if frames == 4 { loop.stop() }
                }
            }
            loop.connectToLoopback(listener.port, Frames()) { connection in
                loop.schedule(afterMilliseconds: 0, repeatingEveryMilliseconds: 5) {
                    // One frame and a piece of the next, so that something is left each time.
                    connection.output.append([0, 0, 0, 1, 9])
                    connection.outputAdded()
                }
            }
        }
        #expect(frames == 4)
    }

    @Test("closing sends what is pending first; aborting does not wait")
    func closeFlushes() throws {
        let answer = pattern(3_000_000)
        for mode in [CloseMode.afterFlush, .abort] {
            var answered = 0
            var reasons: [CloseReason] = []
            try onLoop { loop in
                let listener = try loop.listenOnLoopback { _ in
                    let server = Frames { _, connection in
                        for _ in 0..<3 { send(answer, on: connection) }
                        connection.close("enough", mode)
                        connection.close("twice", .afterFlush)
                        send(answer, on: connection)
                    }
                    server.heedsCongestion = false
                    server.onClosed = { reasons.append($0) }
                    return server
                }
                let client = Frames { _, _ in answered += 1 }
                client.onClosed = {
                    reasons.append($0)
                    loop.stop()
                }
                loop.connectToLoopback(listener.port, client) { send([1], on: $0) }
            }
            #expect(answered == (mode == .abort ? 0 : 3))
            #expect(reasons.first == .asked("enough"))
            #expect(reasons.count == 2)
        }
    }

    @Test("a connection without traffic is closed after its idle time, one with traffic is not")
    func idle() throws {
        var options = ConnectionOptions()
        options.idleSeconds = 1
        var reasons: [String: CloseReason] = [:]
        try onLoop { loop in
            let listener = try loop.listenOnLoopback(options: options) { _ in Frames.echo() }
            let quiet = Frames()
            quiet.onClosed = {
                reasons["quiet"] = $0
                loop.schedule(afterMilliseconds: 500) { loop.stop() }
            }
            let busy = Frames()
            busy.onClosed = { reasons["busy"] = $0 }
            loop.connectToLoopback(listener.port, quiet)
            loop.connectToLoopback(listener.port, busy) { connection in
                loop.schedule(afterMilliseconds: 0, repeatingEveryMilliseconds: 100) { send([1], on: connection) }
            }
        }
        #expect(reasons == ["quiet": .peerClosed, "busy": .loopStopped])
    }

    @Test("handlers may close connections, their own and others, from every callback")
    func closeInCallbacks() throws {
        var closed = 0
        try onLoop { loop in
            var servers: [Connection] = []
            let listener = try loop.listenOnLoopback { connection in
                servers.append(connection)
                let server = Frames { _, connection in
                    send(pattern(2_000_000), on: connection)
                    for server in servers { server.close("all", .abort) }
                }
                server.onDrained = { $0.close("drained", .abort) }
                server.onClosed = { _ in
                    closed += 1
                    for server in servers { server.close("again", .abort) }
                    if closed == 5 { loop.stop() }
                }
                return server
            }
            for _ in 0..<5 {
                loop.connectToLoopback(listener.port, Frames()) { connection in
                    loop.schedule(afterMilliseconds: 50) { send([1], on: connection) }
                }
            }
        }
        #expect(closed == 5)
    }

    @Test("closing when drained is safe")
    func closeWhenDrained() throws {
        var reason: CloseReason?
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in
                let server = Frames { _, connection in send(pattern(4_000_000), on: connection) }
                server.onDrained = { $0.close("drained", .abort) }
                server.onClosed = {
                    reason = $0
                    loop.stop()
                }
                return server
            }
            loop.connectToLoopback(listener.port, Frames()) { send([1], on: $0) }
        }
        #expect(reason == .asked("drained"))
    }

    @Test("a peer that resets its connection while it is written to ends that connection only")
    func reset() throws {
        var reasons: [CloseReason] = []
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { connection in
                let server = Frames()
                server.onClosed = {
                    reasons.append($0)
                    loop.stop()
                }
                loop.schedule(afterMilliseconds: 1, repeatingEveryMilliseconds: 1) {
                    send(pattern(100_000), on: connection)
                }
                return server
            }
            loop.connectToLoopback(listener.port, Frames()) { connection in
                connection.pauseReading()
                // Closing with unread bytes makes the kernel send a reset.
                loop.schedule(afterMilliseconds: 50) { connection.close("rude", .abort) }
            }
        }
        #expect(reasons.count == 1)
        if case .broken = reasons[0] {} else { Issue.record("\(reasons)") }
    }

    @Test("output leaves after the hooks of its turn")
    func hooksBeforeOutput() throws {
        try onLoop { loop in
            var written = 0
            var hooked = 0
            let listener = try loop.listenOnLoopback { _ in
                Frames { frame, connection in
                    written += 1
                    send(frame, on: connection)
                }
            }
            var sentBefore = 0
            loop.atTurnEnd {
                // Only the client's bytes may have left when the answers of this turn are hooked.
                if written > hooked { #expect(loop.counters.bytesSent == sentBefore) }
                hooked = written
            }
            let client = Frames { _, _ in loop.stop() }
            loop.connectToLoopback(listener.port, client) { connection in
                send([1, 2, 3], on: connection)
                sentBefore = 7
            }
        }
    }

    @Test("when the loop stops, each handler hears it once")
    func stopped() throws {
        var handlers: [Frames] = []
        var reasons: [CloseReason] = []
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in
                let server = Frames.echo()
                server.onClosed = { reasons.append($0) }
                handlers.append(server)
                return server
            }
            var clients = 0
            for _ in 0..<3 {
                let client = Frames { _, _ in
                    clients += 1
                    if clients == 3 { loop.stop() }
                }
                loop.connectToLoopback(listener.port, client) { send([1], on: $0) }
            }
        }
        #expect(reasons == [.loopStopped, .loopStopped, .loopStopped])
        #expect(handlers.map(\.closings) == [1, 1, 1])
    }
}

/// Takes one frame, pauses for some milliseconds, and so on.
private final class PausingHandler: ConnectionHandler {
    let onFrame: ([UInt8]) -> Void
    private var isPaused = false

    init(_ onFrame: @escaping ([UInt8]) -> Void) { self.onFrame = onFrame }

    func received(_ input: ByteBuffer, on connection: Connection) {
        #expect(!isPaused)
        guard input.count >= 5 else { return }
        onFrame([input.bytes.byte(at: 4)])
        input.consume(5)
        isPaused = true
        connection.pauseReading()
        connection.loop.schedule(afterMilliseconds: 2) {
            self.isPaused = false
            connection.resumeReading()
        }
    }
    func drained(_ connection: Connection) {}
    func closed(_ connection: Connection, reason: CloseReason) {}
}
