import Base
import Bytes
import Glibc
import Testing

@testable import Runtime

@Suite("Listening and connecting")
struct ListenerTests {
    @Test("both ends know their addresses", arguments: ["127.0.0.1", "::1", "localhost"])
    func addresses(host: String) throws {
        try onLoop { loop in
            var server: Connection?
            let listener = try loop.listen(host: host, port: 0) {
                server = $0
                return Frames.echo()
            }
            #expect(listener.port > 0)
            let client = Frames { _, connection in
                #expect(connection.peer == server?.local)
                #expect(connection.local == server?.peer)
                #expect(connection.peer.port == Int32(listener.port))
                #expect(connection.peer.isIPv6 == listener.address.isIPv6)
                loop.stop()
            }
            loop.connect(host: host, port: listener.port) { connection in
                send([1], on: connection)
                return client
            } failed: {
                Issue.record("\($0)")
                loop.stop()
            }
        }
    }

    @Test("an IPv4 client of a socket that serves both families has an IPv4 address")
    func mapped() throws {
        try onLoop { loop in
            let listener = try loop.listen(host: "::", port: 0) { connection in
                #expect(connection.peer.address == "127.0.0.1")
                loop.stop()
                return nil
            }
            loop.connectToLoopback(listener.port, Frames())
        }
    }

    @Test("connections above the limit are closed at once, and there is room again when one goes")
    func limit() throws {
        try onLoop { loop in
            let listener = try loop.listenOnLoopback(maximumConnections: 2) { _ in Frames.echo() }
            var closed = 0
            var open: [Connection] = []
            func connect(_ onClosed: @escaping () -> Void) {
                let client = Frames()
                client.onClosed = { _ in onClosed() }
                loop.connectToLoopback(listener.port, client) { open.append($0) }
            }
            for _ in 0..<4 {
                connect {
                    closed += 1
                    guard closed == 2 else { return }
                    #expect(listener.connections == 2)
                    #expect(loop.counters.refused == 2)
                    for connection in open where connection.isOpen { connection.close("room") }
                    loop.schedule(afterMilliseconds: 50) {
                        #expect(listener.connections == 0)
                        loop.connectToLoopback(listener.port, Frames { _, _ in loop.stop() }) { send([], on: $0) }
                    }
                }
            }
        }
    }

    @Test("a handler that is nil refuses the connection")
    func refusedByHandler() throws {
        try onLoop { loop in
            let listener = try loop.listenOnLoopback { _ in nil }
            let client = Frames()
            client.onClosed = { _ in
                #expect(loop.counters.refused == 1)
                #expect(listener.connections == 0)
                loop.stop()
            }
            loop.connectToLoopback(listener.port, client)
        }
    }

    @Test("a port is taken once, and free again after the listener was closed")
    func portInUse() throws {
        try onLoop { loop in
            let first = try loop.listenOnLoopback { _ in nil }
            let error = #expect(throws: RuntimeError.self) {
                _ = try loop.listen(host: "127.0.0.1", port: first.port) { _ in nil }
            }
            #expect(error?.kind == .addressInUse)
            first.close()
            _ = try loop.listen(host: "127.0.0.1", port: first.port) { _ in nil }
            loop.stop()
        }
    }

    @Test("without free descriptors the loop waits quietly, and accepts when there are some")
    func descriptorsExhausted() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop()
            let listener = try loop.listenOnLoopback { _ in Frames() }
            var server = try #require(SocketAddress(numeric: "127.0.0.1", port: UInt16(listener.port)))
            let size = server.size
            let client = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            // No descriptor above this one.
            var limit = rlimit(rlim_cur: rlim_t(client + 1), rlim_max: rlim_t(client + 1))
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            _ = server.withPointer { Glibc.connect(client, $0, size) }
            loop.schedule(afterMilliseconds: 250) {
                #expect(listener.connections == 0)
                #expect(loop.counters.turns < 20)
                // The kernel finishes the connection although its client has gone.
                close(client)
            }
            loop.schedule(afterMilliseconds: 1, repeatingEveryMilliseconds: 20) {
                if loop.counters.accepted == 1 { exit(0) }
            }
            loop.schedule(afterMilliseconds: 5000) { exit(1) }
            loop.run()
        }
    }

    @Test("nobody listens")
    func refused() throws {
        try failure(host: "127.0.0.1", port: unusedPort(), timeout: 5000, is: .refused)
    }

    @Test("a name that does not exist")
    func unknownName() throws {
        try failure(host: "no-such-host.invalid", port: 1, timeout: 20_000, is: .nameNotFound)
    }

    @Test("a server that does not answer")
    func timeout() throws {
        // A full backlog: the kernel ignores further requests to connect.
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(server) }
        var address = try #require(SocketAddress(numeric: "127.0.0.1", port: 0))
        var size = address.size
        _ = address.withPointer { bind(server, $0, size) }
        #expect(Glibc.listen(server, 0) == 0)
        _ = address.withPointer { getsockname(server, $0, &size) }
        var fillers: [Int32] = []
        defer { for filler in fillers { close(filler) } }
        for _ in 0..<4 {
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            _ = address.withPointer { Glibc.connect(filler, $0, size) }
            fillers.append(filler)
        }
        try failure(host: "127.0.0.1", port: Int(address.hostAddress.port), timeout: 100, is: .timedOut)
    }

    @Test("a loop that stops ends the attempts to connect")
    func stopWhileConnecting() throws {
        var kinds: [RuntimeError.Kind] = []
        try onLoop { loop in
            loop.connect(host: "localhost", port: unusedPort()) { _ in
                nil
            } failed: {
                kinds.append($0.kind)
            }
            loop.stop()
        }
        #expect(kinds == [.stopped] || kinds == [.refused])
    }

    private func failure(host: String, port: Int, timeout: Int64, is kind: RuntimeError.Kind) throws {
        var kinds: [RuntimeError.Kind] = []
        try onLoop { loop in
            loop.connect(host: host, port: port, timeoutMilliseconds: timeout) { _ in
                Issue.record("connected")
                loop.stop()
                return nil
            } failed: {
                kinds.append($0.kind)
                loop.schedule(afterMilliseconds: 20) { loop.stop() }
            }
            #expect(kinds.isEmpty, "failed while its caller was still on the stack")
        }
        #expect(kinds == [kind])
    }
}

/// A port that was free a moment ago.
private func unusedPort() -> Int {
    let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(probe) }
    var address = SocketAddress(numeric: "127.0.0.1", port: 0) ?? SocketAddress()
    var size = address.size
    _ = address.withPointer { bind(probe, $0, size) }
    _ = address.withPointer { getsockname(probe, $0, &size) }
    return Int(address.hostAddress.port)
}
