import Base
import Bytes
import Model
import RemotingProtocol

/// An answer, or a request of the broker, while it is looked at.
struct ReceivedFrame {
    let header: CommandHeader
    let input: ByteBuffer
    let body: Range<Int>

    var code: ResponseCode { header.responseCode }

    /// A send was refused for want of a quota: nothing of it is stored, and it may be tried again.
    var isQuotaRefusal: Bool {
        guard code == .systemError, let remark = header.remark else { return false }
        let input = input
        return input.bytes.extracting(remark).string().hasPrefix("[QUOTA]")
    }

    func text(_ name: StaticString) -> String? {
        let input = input
        return header.string(ifPresent: name, in: input.bytes)
    }

    func number(_ name: StaticString) -> Int64? {
        let input = input
        return (try? header.int64(ifPresent: name, in: input.bytes)) ?? nil
    }

    func decodedBody<Body: CommandBody>(_: Body.Type) -> Body? {
        let input = input
        return try? Body(parsing: input.bytes.extracting(body))
    }
}

/// A client of a simulated cluster: a state machine that writes and reads frames of the remoting protocol. Kinds of clients are its
/// subclasses.
class SimulatedClient {
    unowned let world: ClusterSimulation
    let name: String
    let node: Int
    private var links: [Int: ClientLink] = [:]
    private var routes: [Int: [RouteQueues]] = [:]
    /// When each route was asked for, in ms.
    private var routeTimes: [Int: Int64] = [:]
    /// Counts lives: what was planned in one does not happen in the next.
    private(set) var life = 0
    let encoding: HeaderEncoding

    /// The queues of a topic on one broker.
    struct RouteQueues {
        var broker: Int
        var readCount: Int32
        var writeCount: Int32
    }

    init(_ world: ClusterSimulation, name: String, node: Int) {
        self.world = world
        self.name = name
        self.node = node
        encoding = world.random.next(below: 2) == 0 ? .json : .binary
    }

    /// Begins to work.
    func start() {}

    /// A request of a broker.
    func asked(_ request: ReceivedFrame, by broker: Int) {}

    /// A connection to a broker is gone.
    func lost(_ server: Int) {}

    // MARK: - Life

    /// Ends all connections and forgets everything.
    func die() {
        life += 1
        let links = links
        self.links = [:]
        routes = [:]
        for (_, link) in links.sorted(by: { $0.key < $1.key }) { link.drop() }
    }

    func later(milliseconds: Int64, _ body: @escaping () -> Void) {
        let life = life
        world.schedule.after(milliseconds: milliseconds) { [weak self] in
            guard let self, self.life == life, !self.world.isOver else { return }
            body()
        }
    }

    func random(_ bound: Int) -> Int { world.random.next(below: bound) }
    func chance(_ oneIn: Int) -> Bool { world.random.next(below: oneIn) == 0 }

    // MARK: - Requests

    /// Sends a request and calls back once: with the answer, or with nil when none came.
    func ask(
        _ server: Int, _ code: RequestCode, timeout: Int64 = 3_000, _ write: (inout CommandWriter) -> Void,
        _ done: @escaping (ReceivedFrame?) -> Void
    ) {
        link(server).send(code, timeout: timeout, write, done)
    }

    /// Sends a request that nobody answers.
    func tell(_ server: Int, _ code: RequestCode, _ write: (inout CommandWriter) -> Void) {
        link(server).send(code, timeout: 0, write, nil)
    }

    /// Answers a request of a broker, if the connection is still there.
    func answer(_ server: Int, _ code: ResponseCode, opaque: Int32) { links[server]?.answer(code, opaque: opaque) }

    private func link(_ server: Int) -> ClientLink {
        if let link = links[server] { return link }
        let link = ClientLink(self, server)
        links[server] = link
        return link
    }

    /// Whether there is a connection to the server, or one under way.
    func isLinked(_ server: Int) -> Bool { links[server] != nil }

    fileprivate func unlink(_ link: ClientLink) {
        guard links[link.server] === link else { return }
        links[link.server] = nil
        lost(link.server)
    }

    // MARK: - Routes

    /// Where a topic is, as a name server says, or said a while ago.
    func route(_ topic: Int, _ done: @escaping ([RouteQueues]) -> Void) {
        let now = world.schedule.milliseconds
        // Clients ask every 30 s (`pollNameServerInterval`).
        if let known = routes[topic], !known.isEmpty, now - (routeTimes[topic] ?? 0) < 30_000 { return done(known) }
        routeTimes[topic] = now
        let server = world.nameServers[random(world.nameServers.count)].node
        let name = world.topicName(topic)
        let life = life
        ask(server, .getRouteInfoByTopic) { writer in
            writer.field("topic", name)
        } _: { [weak self] answer in
            guard let self, self.life == life else { return }
            guard let answer, answer.code == .success, let route = answer.decodedBody(TopicRouteData.self) else {
                return done(self.routes[topic] ?? [])
            }
            self.routes[topic] = self.queues(route)
            done(self.routes[topic] ?? [])
        }
    }

    private func queues(_ route: TopicRouteData) -> [RouteQueues] {
        route.queues.compactMap { queues in
            guard let broker = world.brokers.firstIndex(where: { $0.name == queues.brokerName }) else { return nil }
            return RouteQueues(
                broker: broker, readCount: queues.readQueueCount, writeCount: queues.writeQueueCount)
        }.sorted { $0.broker < $1.broker }
    }
}

/// A client's connection to one server, and what it waits for there.
final class ClientLink: ConnectionEnd {
    private unowned let client: SimulatedClient
    let server: Int
    private var connection: SimulatedConnection?
    private var isGone = false
    /// Frames from before the connection was there.
    private var early: [[UInt8]] = []
    private var waiting: [Int32: (ReceivedFrame?) -> Void] = [:]
    private var lastOpaque: Int32 = 0
    private let input = ByteBuffer(capacity: 512)
    private let header = CommandHeader()

    fileprivate init(_ client: SimulatedClient, _ server: Int) {
        self.client = client
        self.server = server
        client.world.network.connect(from: client.node, to: server, self) { [self] connection in
            guard !isGone else { return connection?.reset() ?? () }
            guard let connection else { return closed() }
            self.connection = connection
            for frame in early { connection.send(.client, frame) }
            early = []
        }
    }

    fileprivate func send(
        _ code: RequestCode, timeout: Int64, _ write: (inout CommandWriter) -> Void,
        _ done: ((ReceivedFrame?) -> Void)?
    ) {
        lastOpaque += 1
        let opaque = lastOpaque
        let buffer = ByteBuffer(capacity: 512)
        var writer = CommandWriter(buffer, encoding: client.encoding)
        writer.begin(request: code, opaque: opaque, isOneway: done == nil)
        write(&writer)
        writer.end()
        if let done {
            waiting[opaque] = done
            client.world.schedule.after(milliseconds: timeout) { [weak self] in self?.timedOut(opaque) }
        }
        let frame = buffer.bytes.array()
        if let connection { connection.send(.client, frame) } else { early.append(frame) }
    }

    fileprivate func answer(_ code: ResponseCode, opaque: Int32) {
        let buffer = ByteBuffer(capacity: 128)
        var writer = CommandWriter(buffer, encoding: client.encoding)
        writer.begin(response: code, opaque: opaque)
        writer.end()
        connection?.send(.client, buffer.bytes.array())
    }

    private func timedOut(_ opaque: Int32) {
        guard let done = waiting.removeValue(forKey: opaque) else { return }
        client.world.coverage.timeouts += 1
        done(nil)
        // Some clients try another connection then.
        if !isGone, client.chance(3) { connection.map { $0.close(.client) }; closed() }
    }

    func received(_ bytes: [UInt8]) {
        input.append(bytes)
        while !isGone, !input.isEmpty {
            let frame: Frame
            do throws(FrameError) {
                guard let next = try Frame.next(in: input) else { return }
                frame = next
            } catch {
                return client.world.fail("P6", "\(client.name) does not understand an answer: \(error)")
            }
            guard (try? header.decode(frame, in: input)) != nil else {
                return client.world.fail("P6", "\(client.name) does not understand a header")
            }
            let received = ReceivedFrame(header: header, input: input, body: frame.body)
            if header.isResponse {
                waiting.removeValue(forKey: header.opaque)?(received)
            } else {
                client.asked(received, by: server)
            }
            input.consume(frame.size)
        }
    }

    func closed() {
        guard !isGone else { return }
        isGone = true
        connection = nil
        client.unlink(self)
        let unanswered = waiting.sorted { $0.key < $1.key }
        waiting = [:]
        for (_, done) in unanswered { done(nil) }
    }

    /// The client has died: nobody waits any more.
    fileprivate func drop() {
        isGone = true
        waiting = [:]
        connection?.reset()
        connection = nil
    }
}
