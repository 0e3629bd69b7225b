import Base
import Bytes
import Glibc
import Testing

@testable import Runtime

@Suite("TLS")
struct TLSTests {
    /// Runs a loop with a server of `mode` and its certificates.
    private func withServer(
        _ mode: TLSServer.Mode, prepare: (inout TLSServerConfiguration, TestCertificates) throws -> Void = { _, _ in },
        names: String = "DNS:localhost,IP:127.0.0.1", days: Int = 2, handshakeMilliseconds: Int64 = 10_000,
        options: ConnectionOptions = ConnectionOptions(),
        accept: @escaping Listener.Accept = { _ in Frames.echo() },
        _ body: (EventLoop, Listener, TLSServer, TestCertificates) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            var configuration = try certificates.make("server", names: names, days: days)
            try prepare(&configuration, certificates)
            let server = try TLSServer(mode, configuration, handshakeMilliseconds: handshakeMilliseconds)
            try onLoop { loop in
                let listener = try loop.listen(
                    host: "127.0.0.1", port: 0, options: options, tls: server, accept: accept)
                try body(loop, listener, server, certificates)
            }
        }
    }

    private func connect(
        _ loop: EventLoop, _ listener: Listener, _ tls: TLSContext?, host: String = "127.0.0.1", _ handler: Frames,
        then: @escaping (Connection) -> Void = { _ in },
        failed: @escaping (RuntimeError) -> Void = { Issue.record("\($0)") }
    ) {
        loop.connect(host: host, port: listener.port, tls: tls) { connection in
            then(connection)
            return handler
        } failed: { error in
            failed(error)
            loop.stop()
        }
    }

    @Test("a filter understands records however they are cut, and its peer what it answers")
    func filtersWithoutSockets() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let wire = TLSWire()
            let server = try TLSFilter(try TLSContext(server: try certificates.make("server")), wire)
            let client = try TLSFilter(try certificates.client(), wire, host: "localhost")
            let received = ByteBuffer()
            func take() -> [UInt8] {
                let records = ByteBuffer()
                wire.takeOutput(into: records)
                return records.bytes.array()
            }
            func hear(_ filter: TLSFilter, _ bytes: [UInt8]) throws -> [UInt8] {
                var answer: [UInt8] = []
                for byte in bytes {
                    let isMoreComing = try [byte].withUnsafeBytes { try filter.receive($0, into: received) }
                    #expect(isMoreComing)
                    answer += take()
                }
                return answer
            }
            try client.begin()
            let answer = try hear(server, take())
            _ = try hear(server, try hear(client, answer))
            #expect(client.isEstablished && server.isEstablished)
            #expect(server.version == "TLSv1.3")
            let output = ByteBuffer()
            output.append(pattern(40_000))
            try client.send(40_000, of: output)
            #expect(output.isEmpty)
            _ = try hear(server, take())
            #expect(received.bytes.array() == pattern(40_000))
        }
    }

    @Test("permissive serves plain clients and those with TLS on one port", arguments: [true, false])
    func bothOnOnePort(withTLS: Bool) throws {
        var echoed: [[UInt8]] = []
        try withServer(.permissive) { loop, listener, server, certificates in
            let client = Frames { frame, connection in
                echoed.append(frame)
                guard echoed.count == 3 else { return }
                #expect(server.established == (withTLS ? 1 : 0))
                loop.schedule(afterMilliseconds: 0) {
                    #expect(connection.input == nil)
                    #expect(connection.gathering == nil)
                    #expect(connection.tls?.records == nil)
                    loop.stop()
                }
            }
            connect(loop, listener, withTLS ? try certificates.client() : nil, client) { connection in
                for size in [0, 5, 1_000_000] { send(pattern(size), on: connection) }
            }
        }
        #expect(echoed == [[], pattern(5), pattern(1_000_000)])
    }

    @Test("enforcing refuses plain clients, and a server without a certificate refuses TLS")
    func refusals() throws {
        try withServer(.enforcing) { loop, listener, server, _ in
            let client = Frames { _, _ in Issue.record("answered") }
            client.onClosed = { _ in
                #expect(server.refused == 1)
                loop.stop()
            }
            connect(loop, listener, nil, client) { send([1], on: $0) }
        }
        try withTemporaryFolder { folder in
            let tls = try TestCertificates(in: folder).client()
            let server = try TLSServer(.permissive, nil)
            var failure: RuntimeError?
            try onLoop { loop in
                let listener = try loop.listen(host: "127.0.0.1", port: 0, tls: server) { _ in Frames.echo() }
                connect(loop, listener, tls, Frames(), failed: { failure = $0 })
            }
            #expect(failure?.kind == .untrusted)
            #expect(server.refused == 1)
        }
        #expect(throws: TLSError.self) { try TLSServer(.enforcing, nil) }
    }

    /// How a client is disappointed.
    enum Disappointment: String, CaseIterable {
        case otherRoot, otherName, expired, systemRoots
    }

    @Test("a client refuses a certificate that it cannot believe", arguments: Disappointment.allCases)
    func untrusted(_ how: Disappointment) throws {
        var failure: RuntimeError?
        let names = how == .otherName ? "DNS:elsewhere.example" : "DNS:localhost,IP:127.0.0.1"
        try withServer(.enforcing, names: names, days: how == .expired ? -1 : 2) { loop, listener, _, certificates in
            let tls: TLSContext
            switch how {
            case .otherRoot:
                let folder = certificates.folder + "/other"
                mkdir(folder, 0o700)
                tls = try TestCertificates(in: folder).client()
            case .systemRoots: tls = try TLSContext(client: TLSClientConfiguration())
            case .otherName, .expired: tls = try certificates.client()
            }
            connect(loop, listener, tls, Frames(), failed: { failure = $0 })
        }
        #expect(failure?.kind == .untrusted)
        #expect(failure?.message.contains("certificate refused") == true, "\(String(describing: failure))")
    }

    @Test("a client that does not check names, as RocketMQ's do not, accepts a certificate of another name")
    func nameUnchecked() throws {
        var isEchoed = false
        try withServer(.enforcing, names: "DNS:elsewhere.example") { loop, listener, _, certificates in
            let client = Frames { _, _ in
                isEchoed = true
                loop.stop()
            }
            connect(loop, listener, try certificates.client(checksName: false), client) { send([1], on: $0) }
        }
        #expect(isEchoed)
    }

    @Test("a client certificate is demanded where it is required", arguments: [true, false])
    func clientCertificate(shown: Bool) throws {
        var isEchoed = false
        try withServer(
            .enforcing,
            prepare: { configuration, certificates in
                configuration.clientAuthentication = .require
                configuration.trustPath = certificates.root
            }
        ) { loop, listener, server, certificates in
            try certificates.make("client")
            let client = Frames { _, _ in
                isEchoed = true
                loop.stop()
            }
            // With TLS 1.3 the client is done before the server has seen its certificate, so it learns later.
            client.onClosed = { _ in loop.stop() }
            connect(loop, listener, try certificates.client(showing: shown ? "client" : nil), client) {
                send([1], on: $0)
            }
            loop.atTurnEnd { if !shown, server.failed > 0 { loop.stop() } }
        }
        #expect(isEchoed == shown)
    }

    @Test("a peer that takes nothing stops the server's reading, and gets everything when it does")
    func backPressure() throws {
        var options = ConnectionOptions()
        options.outputHighWatermark = 64 * 1024
        options.outputLowWatermark = 16 * 1024
        options.outputMaximum = 8 * 1024 * 1024
        weak var atServer: Connection?
        var wasCongested = false
        var received = 0
        let count = 4000
        let accept: Listener.Accept = { connection in
            atServer = connection
            return Frames.echo()
        }
        try withServer(.enforcing, options: options, accept: accept) { loop, listener, _, certificates in
            let client = Frames { frame, _ in
                #expect(frame == pattern(4000))
                received += 1
                if received == count { loop.stop() }
            }
            connect(loop, listener, try certificates.client(), client) { connection in
                for _ in 0..<count { send(pattern(4000), on: connection) }
                connection.pauseReading()
                loop.atTurnEnd {
                    guard !wasCongested, atServer?.isCongested == true, atServer?.isReading == false else { return }
                    wasCongested = true
                    #expect((atServer?.unsentBytes ?? 0) < 4 * 1024 * 1024)
                    connection.resumeReading()
                }
            }
        }
        #expect(wasCongested)
        #expect(received == count)
    }

    @Test("a handshake that does not end is ended", arguments: ["", "\u{16}", "\u{16}\u{3}\u{1}\u{0}\u{80}\u{1}"])
    func handshakeDeadline(begin: String) throws {
        try withServer(.enforcing, handshakeMilliseconds: 200) { loop, listener, server, _ in
            let client = Frames()
            client.onClosed = { reason in
                #expect(reason != .loopStopped)
                #expect(server.handshakes == 0)
                loop.stop()
            }
            connect(loop, listener, nil, client) { connection in
                connection.output.append(Array(begin.utf8))
                connection.outputAdded()
            }
        }
    }

    @Test("bytes that are no records after the handshake close that connection only")
    func garbage() throws {
        try withServer(.enforcing) { loop, listener, server, certificates in
            let client = Frames { _, connection in
                // Past the filter, straight to the socket.
                connection.write(
                    {
                        let buffer = ByteBuffer()
                        buffer.append(pattern(300))
                        return buffer
                    }())
            }
            client.onClosed = { reason in
                #expect(reason != .loopStopped)
                #expect(server.established == 1)
                let second = Frames { _, _ in loop.stop() }
                connect(loop, listener, try? certificates.client(), second) { send([1], on: $0) }
            }
            connect(loop, listener, try certificates.client(), client) { send([1], on: $0) }
        }
    }

    @Test("a changed certificate is shown to new connections, and a broken one changes nothing")
    func reload() throws {
        try withServer(.enforcing) { loop, listener, server, certificates in
            let other = try certificates.make("other", names: "DNS:other.example")
            let path = certificates.folder + "/server.pem"
            #expect(rename(certificates.folder + "/root.key", certificates.folder + "/kept.key") == 0)
            let file = fopen(path, "w")
            fputs("no certificate", file)
            fclose(file)
            #expect(throws: TLSError.self) { try server.reload() }
            let first = Frames { _, _ in
                #expect(rename(other.certificatePath, path) == 0)
                #expect(rename(other.keyPath, certificates.folder + "/server.key") == 0)
                #expect(throws: Never.self) { try server.reload() }
                connect(
                    loop, listener, try? certificates.client(), Frames(),
                    failed: { #expect($0.message.contains("certificate refused"), "\($0)") })
            }
            connect(loop, listener, try certificates.client(), first) { send([1], on: $0) }
        }
    }

    @Test("closing after the output is sent tells the peer that nothing follows")
    func goodbye() throws {
        var reason: CloseReason?
        let accept: Listener.Accept = { _ in
            Frames { frame, connection in
                send(frame, on: connection)
                connection.close("done")
            }
        }
        try withServer(.enforcing, accept: accept) { loop, listener, _, certificates in
            var frames = 0
            let client = Frames { frame, _ in
                #expect(frame == pattern(500_000))
                frames += 1
            }
            client.onClosed = {
                reason = $0
                #expect(frames == 1)
                loop.stop()
            }
            connect(loop, listener, try certificates.client(), client) { send(pattern(500_000), on: $0) }
        }
        #expect(reason == .peerClosed)
    }

    @Test("a name that no server can have is refused before anything is sent")
    func impossibleName() throws {
        try withTemporaryFolder { folder in
            let context = try TestCertificates(in: folder).client()
            #expect(throws: TLSError.self) {
                try TLSFilter(context, TLSWire(), host: String(repeating: "x", count: 300))
            }
        }
    }
}
