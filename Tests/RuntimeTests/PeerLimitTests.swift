import Base
import Bytes
import Glibc
import Testing

@testable import Runtime

@Suite("Limits for peers")
struct PeerLimitTests {
    private static func at(_ milliseconds: Int64) -> MonotonicTime {
        MonotonicTime(nanoseconds: milliseconds * 1_000_000)
    }

    private static let host = HostAddress(ipv4: 0x0A00_0001, port: 1)

    // MARK: - Rubbish

    @Test("an address that keeps sending rubbish is refused for a while, others are not, and then it may come again")
    func penalty() {
        let peers = PeerTable()
        let again = HostAddress(ipv4: 0x0A00_0001, port: 2)
        for number in 1..<PeerTable.strikesMaximum {
            #expect(!peers.strike(Self.host, now: Self.at(Int64(number))))
            #expect(peers.objection(to: again, maximum: 0, now: Self.at(20)) == nil)
        }
        #expect(peers.strike(Self.host, now: Self.at(100)))
        #expect(peers.objection(to: again, maximum: 0, now: Self.at(101)) == .penalty)
        #expect(peers.objection(to: HostAddress(ipv4: 5, port: 1), maximum: 0, now: Self.at(101)) == nil)
        #expect(peers.objection(to: again, maximum: 0, now: Self.at(100 + PeerTable.penaltyMilliseconds)) == nil)
    }

    @Test("rubbish now and then is no reason, and nothing of it is remembered for long")
    func rare() {
        let peers = PeerTable()
        for number in 0..<100 {
            #expect(!peers.strike(Self.host, now: Self.at(Int64(number) * 5_000)))
        }
        peers.expire(now: Self.at(600_000))
        #expect(peers.count == 0)
    }

    @Test("connections of one address have a limit, and the table forgets an address with its last one")
    func perAddress() {
        let peers = PeerTable()
        peers.opened(Self.host)
        #expect(peers.objection(to: Self.host, maximum: 2, now: Self.at(0)) == nil)
        peers.opened(Self.host)
        #expect(peers.objection(to: Self.host, maximum: 2, now: Self.at(0)) == .tooManyFromAddress)
        #expect(peers.objection(to: Self.host, maximum: 0, now: Self.at(0)) == nil)
        peers.closed(Self.host)
        #expect(peers.objection(to: Self.host, maximum: 2, now: Self.at(0)) == nil)
        peers.closed(Self.host)
        #expect(peers.count == 0)
    }

    @Test("addresses that come once each do not fill the table")
    func manyAddresses() {
        let peers = PeerTable()
        for number in 0..<20_000 {
            _ = peers.strike(HostAddress(ipv4: UInt32(number), port: 1), now: Self.at(0))
        }
        peers.opened(Self.host)
        peers.expire(now: Self.at(1))
        #expect(peers.count == 1)
    }

    private static func listen(
        _ loop: EventLoop, _ change: (inout AcceptLimits) -> Void, accept: @escaping Listener.Accept
    ) throws -> Listener {
        var limits = AcceptLimits()
        change(&limits)
        return try loop.listen(host: "127.0.0.1", port: 0, limits: limits, accept: accept)
    }

    @Test("a listener refuses an address that keeps sending rubbish", arguments: [true, false])
    func rejected(_ includesLoopback: Bool) throws {
        try onLoop { loop in
            let listener = try Self.listen(loop, { $0.includesLoopback = includesLoopback }) { _ in
                Frames { _, connection in connection.reject("rubbish") }
            }
            var closed = 0
            func connect() {
                let client = Frames()
                client.onClosed = { _ in
                    closed += 1
                    if closed < PeerTable.strikesMaximum + 2 { return connect() }
                    #expect(loop.counters.malformed == PeerTable.strikesMaximum + (includesLoopback ? 0 : 2))
                    #expect(
                        loop.counters.refusals[Listener.Refusal.penalty.rawValue] == (includesLoopback ? 2 : 0))
                    #expect(loop.counters.penalties == 1)
                    loop.stop()
                }
                loop.connectToLoopback(listener.port, client) { send([1], on: $0) }
            }
            connect()
        }
    }

    @Test("a listener refuses more connections of one address than it may have")
    func tooMany() throws {
        try onLoop { loop in
            let listener = try Self.listen(
                loop,
                {
                    $0.includesLoopback = true
                    $0.perAddressMaximum = 2
                }
            ) { _ in Frames.echo() }
            var isDone = false
            for _ in 0..<3 {
                let client = Frames()
                client.onClosed = { _ in
                    guard !isDone else { return }
                    isDone = true
                    #expect(listener.connections == 2)
                    #expect(loop.counters.refusals[Listener.Refusal.tooManyFromAddress.rawValue] == 1)
                    loop.stop()
                }
                loop.connectToLoopback(listener.port, client)
            }
        }
    }

    // MARK: - Slow frames

    @Test("a frame that takes too long ends its connection, though bytes keep coming")
    func slowFrame() throws {
        try onLoop { loop in
            var options = ConnectionOptions()
            options.frameSeconds = 1
            var reason: CloseReason?
            let server = Frames()
            server.onClosed = { reason = $0 }
            let listener = try loop.listenOnLoopback(options: options) { _ in server }
            let client = Frames()
            var trickle: LoopTimer?
            client.onClosed = { _ in
                trickle?.cancel()
                // The server's handler may hear of it after the client's.
                loop.schedule(afterMilliseconds: 50) {
                    #expect(reason == .frameTooSlow)
                    loop.stop()
                }
            }
            loop.connectToLoopback(listener.port, client) { connection in
                connection.output.append([0, 0, 1, 0])
                connection.outputAdded()
                trickle = loop.schedule(afterMilliseconds: 100, repeatingEveryMilliseconds: 100) {
                    connection.output.append([1])
                    connection.outputAdded()
                }
            }
        }
    }

    // MARK: - Memory

    @Test("above its budget the newest connections that hold memory are closed; the oldest get their answer")
    func shed() throws {
        try onLoop { loop in
            // The clients are on the same loop, so that both ends count.
            loop.memoryBudget = 3 * 1024 * 1024
            let listener = try loop.listenOnLoopback { _ in Frames.echo() }
            var open: [Int] = []
            var lost: [Int] = []
            var first: Connection?
            func connect(_ number: Int) {
                let client = Frames { frame, connection in
                    guard connection === first else { return }
                    #expect(frame.count == 200_000)
                    #expect(loop.counters.shed > 0)
                    #expect(!lost.contains(0))
                    #expect(loop.heldBytes <= loop.memoryBudget)
                    loop.stop()
                }
                client.onClosed = { _ in lost.append(number) }
                loop.connect(host: "127.0.0.1", port: listener.port, options: .client) { connection in
                    open.append(number)
                    if number == 0 { first = connection }
                    // Most of a frame; the rest of it never comes, but for the first.
                    connection.output.append(bigEndian: UInt32(200_000))
                    connection.output.append([UInt8](repeating: 7, count: 190_000))
                    connection.outputAdded()
                    return client
                } failed: { _ in
                }
            }
            connect(0)
            loop.schedule(afterMilliseconds: 100) { for number in 1..<60 { connect(number) } }
            loop.schedule(afterMilliseconds: EventLoop.shortageMilliseconds + 2_000) {
                guard let first else { return }
                first.output.append([UInt8](repeating: 7, count: 10_000))
                first.outputAdded()
            }
        }
    }

    @Test("while memory is short new connections are refused, and taken again afterwards")
    func refusedForMemory() throws {
        try onLoop { loop in
            loop.memoryBudget = 1024 * 1024
            let listener = try loop.listenOnLoopback { _ in Frames.echo() }
            loop.heldBytes += 900 * 1024
            let client = Frames()
            client.onClosed = { _ in
                #expect(loop.counters.refusals[Listener.Refusal.memory.rawValue] == 1)
                loop.heldBytes -= 900 * 1024
                loop.connectToLoopback(listener.port, Frames { _, _ in loop.stop() }) { send([], on: $0) }
            }
            loop.connectToLoopback(listener.port, client)
        }
    }

    @Test("what connections hold is counted to the byte: nothing is left when they are gone")
    func accounted() throws {
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in Frames.echo() }
            var closed = 0
            for number in 0..<20 {
                let client = Frames { _, connection in connection.close("done", number % 2 == 0 ? .abort : .afterFlush)
                }
                client.onClosed = { _ in
                    closed += 1
                    guard closed == 20 else { return }
                    loop.schedule(afterMilliseconds: 200) {
                        #expect(listener.connections == 0)
                        #expect(loop.heldBytes == 0)
                        loop.stop()
                    }
                }
                loop.connectToLoopback(listener.port, client) { send(pattern(number * 40_000), on: $0) }
            }
        }
    }
}
