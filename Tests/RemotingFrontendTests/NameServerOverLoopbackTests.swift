import Base
import Bytes
import Model
import NameService
import RemotingProtocol
import Runtime
import Telemetry
import Testing

@testable import RemotingFrontend

/// A name server that listens on this machine, and can go and come back on the same port.
final class LoopbackNameServer {
    let loop: EventLoop
    let server: NameServer
    let frontend: NameServerFrontend
    private var listener: Listener?
    private var connections: [Connection] = []
    private(set) var port = 0

    init(_ loop: EventLoop) throws {
        self.loop = loop
        server = NameServer(configuration: NameServerConfiguration(), clock: loop.clock, log: .silent)
        frontend = NameServerFrontend(server: server, log: .silent)
        frontend.start(on: loop)
        try listen()
    }

    func listen() throws {
        let listener = try loop.listen(host: "127.0.0.1", port: port) { [unowned self] connection in
            connections.append(connection)
            return frontend.accept(connection)
        }
        self.listener = listener
        port = listener.port
    }

    func goAway() {
        listener?.close()
        for connection in connections { connection.close("away", .abort) }
        connections = []
    }
}

/// Runs a loop until `isDone`, which is asked every millisecond, or until it is late.
private func run(_ loop: EventLoop, until isDone: @escaping () -> Bool) {
    var isLate = false
    loop.schedule(afterMilliseconds: 20_000) {
        isLate = true
        loop.stop()
    }
    loop.schedule(afterMilliseconds: 1, repeatingEveryMilliseconds: 1) {
        if isDone() { loop.stop() }
    }
    loop.run()
    #expect(!isLate, "it did not happen in time")
}

@Suite("Name servers and a broker over loopback")
struct NameServerOverLoopbackTests {
    private func registrar(
        _ servers: [LoopbackNameServer], _ broker: TestBroker, _ loop: EventLoop
    ) -> NameServerRegistrar {
        let endpoints = servers.map { NameServerEndpoint(host: "127.0.0.1", port: $0.port) }
        return NameServerRegistrar(
            NameServerRegistrarConfiguration(nameServers: endpoints), broker: broker.description(), loop: loop,
            log: .silent)
    }

    @Test("a broker registers with every name server, tells changes, and says goodbye")
    func life() throws {
        let loop = try EventLoop()
        let servers = [try LoopbackNameServer(loop), try LoopbackNameServer(loop)]
        let broker = TestBroker(["T"])
        let registrar = registrar(servers, broker, loop)
        var steps: [() -> Bool] = [
            {
                guard registrar.registeredCount == 2 else { return false }
                #expect(servers.map { $0.server.topics } == [["T"], ["T"]])
                registrar.topicsChanged(broker.add("U"))
                return true
            },
            {
                guard registrar.registeredCount == 2 else { return false }
                #expect(servers.map { $0.server.topics } == [["T", "U"], ["T", "U"]])
                registrar.stop {
                    #expect(servers.map { $0.server.topics } == [[], []])
                    loop.stop()
                }
                return true
            },
        ]
        registrar.start()
        run(loop) {
            if let step = steps.first, step() { steps.removeFirst() }
            return false
        }
        #expect(steps.isEmpty)
        #expect(servers.map { $0.server.metrics.brokersDisconnected } == [0, 0])
    }

    @Test("a broker comes back to a name server that went away, and one that is away does not hold up another")
    func reconnects() throws {
        let loop = try EventLoop()
        let servers = [try LoopbackNameServer(loop), try LoopbackNameServer(loop)]
        let broker = TestBroker(["T"])
        let registrar = registrar(servers, broker, loop)
        var steps: [() throws -> Bool] = [
            {
                guard registrar.registeredCount == 2 else { return false }
                servers[0].goAway()
                return true
            },
            {
                guard servers[0].server.topics == [], registrar.registeredCount == 1 else { return false }
                registrar.topicsChanged(broker.add("U"))
                return true
            },
            {
                guard servers[1].server.topics == ["T", "U"] else { return false }
                try servers[0].listen()
                return true
            },
            { registrar.registeredCount == 2 && servers[0].server.topics == ["T", "U"] },
        ]
        registrar.start()
        run(loop) {
            do {
                if let step = steps.first, try step() { steps.removeFirst() }
            } catch {
                Issue.record(error)
                return true
            }
            return steps.isEmpty
        }
        #expect(steps.isEmpty)
    }

    @Test("stopping does not wait for a name server that is away")
    func stopWhileAway() throws {
        let loop = try EventLoop()
        let server = try LoopbackNameServer(loop)
        server.goAway()
        let registrar = registrar([server], TestBroker(["T"]), loop)
        registrar.start()
        var hasStopped = false
        registrar.stop { hasStopped = true }
        run(loop) { hasStopped }
        #expect(hasStopped)
    }

    @Test("a client that speaks another protocol is shown the door")
    func stranger() throws {
        final class Stranger: ConnectionHandler {
            var isClosed = false
            func received(_ input: ByteBuffer, on connection: Connection) { input.removeAll() }
            func drained(_ connection: Connection) {}
            func closed(_ connection: Connection, reason: CloseReason) { isClosed = true }
        }
        let loop = try EventLoop()
        let server = try LoopbackNameServer(loop)
        let stranger = Stranger()
        loop.connect(host: "127.0.0.1", port: server.port) { connection in
            connection.output.append(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            connection.outputAdded()
            return stranger
        } failed: {
            Issue.record($0)
        }
        run(loop) { stranger.isClosed }
        #expect(stranger.isClosed)
    }
}
