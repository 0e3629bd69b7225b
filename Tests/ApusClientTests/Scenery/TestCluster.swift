import Base
import BrokerCore
import Glibc
import Model
import NameService
import RemotingFrontend
import Runtime
import Storage
import Telemetry

@testable import ApusClient

/// A name server and brokers of Apus, each on a loop of its own, over loopback, with stores in a temporary folder.
///
/// SAFETY: what belongs to a loop is touched only in closures posted to it; tests call the rest from one task at a time.
final class TestCluster: @unchecked Sendable {
    let folder: String
    private let configure: @Sendable (inout BrokerConfiguration) -> Void
    private var nameServer: Process<NameServerParts>?
    private var brokers: [String: Process<BrokerParts>] = [:]
    private(set) var nameServerPort = 0
    private var ports: [String: Int] = [:]

    /// What runs on one loop. SAFETY: as above.
    private final class Process<Parts>: @unchecked Sendable {
        let thread: LoopThread
        var parts: Parts?
        init(_ thread: LoopThread) { self.thread = thread }

        /// Runs `body` on the loop and waits for it.
        func onLoop<Result: Sendable>(_ body: @escaping @Sendable (Process<Parts>) throws -> Result) async throws
            -> Result
        {
            try await withCheckedThrowingContinuation { continuation in
                thread.loop.post {
                    continuation.resume(with: Swift.Result { try body(self) })
                }
            }
        }
    }
    private struct NameServerParts {
        let listener: Listener
        let frontend: NameServerFrontend
    }
    private struct BrokerParts {
        let listener: Listener
        let broker: Broker
        let frontend: BrokerFrontend
        let registrar: NameServerRegistrar
    }

    /// Brokers that ask what became of a transaction after 300 ms, and again every 300 ms.
    static let checksSoon: @Sendable (inout BrokerConfiguration) -> Void = { configuration in
        configuration.transactions.timeoutMilliseconds = 300
        configuration.transactions.checkIntervalMilliseconds = 300
    }

    /// Brokers whose delay levels are all 50 ms.
    static let delaysLittle: @Sendable (inout BrokerConfiguration) -> Void = { configuration in
        configuration.timers.delayLevels = Array(repeating: 50, count: 18)
    }

    /// Starts a name server and brokers, runs `body`, and stops them.
    static func with(
        brokers: [String] = ["a"], configure: @escaping @Sendable (inout BrokerConfiguration) -> Void = { _ in },
        _ body: (TestCluster) async throws -> Void
    ) async throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/apus-client-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let cluster = TestCluster(folder: folder, configure)
        do {
            try await cluster.startNameServer()
            for name in brokers { try await cluster.startBroker(name) }
            try await body(cluster)
        } catch {
            await cluster.stop()
            throw error
        }
        await cluster.stop()
    }

    private init(folder: String, _ configure: @escaping @Sendable (inout BrokerConfiguration) -> Void) {
        self.folder = folder
        self.configure = configure
    }

    var configuration: ClientConfiguration {
        var configuration = ClientConfiguration(nameServers: ["127.0.0.1:\(nameServerPort)"])
        configuration.reconnectDelayMinimum = .milliseconds(20)
        configuration.reconnectDelayMaximum = .milliseconds(200)
        return configuration
    }

    private func startNameServer() async throws {
        let process = Process<NameServerParts>(try LoopThread(named: "names"))
        nameServerPort = try await process.onLoop { process in
            let loop = process.thread.loop
            let server = try NameServer(
                configuration: NameServerConfiguration(), clock: loop.clock, disk: LoopDisk(loop: loop), log: .silent)
            let frontend = NameServerFrontend(server: server, log: .silent)
            let listener = try loop.listen(
                host: "127.0.0.1", port: 0, maximumConnections: 1000, options: ConnectionOptions()
            ) { frontend.accept($0) }
            frontend.start(on: loop)
            process.parts = NameServerParts(listener: listener, frontend: frontend)
            return listener.port
        }
        nameServer = process
    }

    /// Starts a broker, on the port and the store that it had before if it was stopped. Returns when the name server knows it.
    func startBroker(_ name: String) async throws {
        let process = Process<BrokerParts>(try LoopThread(named: name))
        let (folder, names, configure) = (folder, nameServerPort, configure)
        let wantedPort = ports[name] ?? 0
        ports[name] = try await withCheckedThrowingContinuation { continuation in
            process.thread.loop.post {
                do {
                    try Self.start(process, name, folder, wantedPort, names, configure) {
                        continuation.resume(returning: $0)
                    }
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
        brokers[name] = process
    }

    private static func start(
        _ process: Process<BrokerParts>, _ name: String, _ folder: String, _ wantedPort: Int, _ names: Int,
        _ configure: (inout BrokerConfiguration) -> Void,
        registered: @escaping (Int) -> Void
    ) throws {
        let loop = process.thread.loop
        let listener = try loop.listen(
            host: "127.0.0.1", port: wantedPort, maximumConnections: 1000, options: ConnectionOptions()
        ) { process.parts?.frontend.accept($0) }
        var configuration = BrokerConfiguration()
        configuration.name = name
        configuration.address = .loopback(port: Int32(listener.port))
        configure(&configuration)
        var store = StoreConfiguration(root: "\(folder)/\(name)")
        store.segmentSize = 16 * 1024 * 1024
        let broker = try Broker(
            configuration, store: store, disk: LoopDisk(loop: loop), clock: loop.clock, random: SystemRandom(),
            log: .silent)
        let frontend = BrokerFrontend(broker: broker, log: .silent)
        frontend.start(on: loop)
        let registrar = NameServerRegistrar(
            NameServerRegistrarConfiguration(nameServers: [NameServerEndpoint(host: "127.0.0.1", port: names)]),
            broker: RegisteredBroker(
                identity: BrokerIdentity(
                    cluster: configuration.cluster, name: name, id: 0, address: "127.0.0.1:\(listener.port)"),
                haAddress: "127.0.0.1:1", dataVersion: { broker.topicVersion },
                topics: { broker.topics.map(\.configuration) }), loop: loop, log: .silent)
        broker.topicChanged = { [weak broker, weak registrar] topic in
            registrar?.topicsChanged(broker?.topic(topic).map { [$0.configuration] } ?? [])
        }
        process.parts = BrokerParts(listener: listener, broker: broker, frontend: frontend, registrar: registrar)
        var isRegistered = false
        registrar.onRegistered = { _, _ in
            guard !isRegistered else { return }
            isRegistered = true
            registered(listener.port)
        }
        registrar.start()
    }

    /// Stops a broker in good order.
    func stopBroker(_ name: String) async {
        guard let process = brokers.removeValue(forKey: name) else { return }
        await withCheckedContinuation { continuation in
            process.thread.loop.post {
                guard let parts = process.parts else { return continuation.resume() }
                parts.registrar.stop {
                    parts.listener.close()
                    try? parts.frontend.stop()
                    process.parts = nil
                    continuation.resume()
                }
            }
        }
        process.thread.stopAndJoin()
    }

    private func stop() async {
        for name in brokers.keys { await stopBroker(name) }
        if let nameServer {
            _ = try? await nameServer.onLoop { $0.parts = nil }
            nameServer.thread.stopAndJoin()
        }
        removeTree(folder)
    }
}

func removeTree(_ path: String) {
    guard path.contains("/apus-client-") else { return }
    if let directory = opendir(path) {
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { removeTree(path + "/" + name) }
        }
        closedir(directory)
    }
    remove(path)
}
