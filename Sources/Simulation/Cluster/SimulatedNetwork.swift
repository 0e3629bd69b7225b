import Base

/// One end of a simulated connection. It hears of nothing after ``closed()``.
protocol ConnectionEnd: AnyObject {
    func received(_ bytes: [UInt8])
    /// The connection is gone, in order or not.
    func closed()
}

/// Who takes connections at a node.
protocol ConnectionListener: AnyObject {
    /// The end for a new connection; nil when nobody listens.
    func accept(_ connection: SimulatedConnection) -> (any ConnectionEnd)?
}

/// Connections between numbered nodes, as TCP makes them: bytes arrive once and in order or not at all; segments that are lost
/// come later, and what is cut off waits.
///
/// Connections do not wait for each other, so what was sent last over one may arrive before what was sent first over another.
final class SimulatedNetwork {
    struct Faults {
        /// Segments that must be sent again, in percent.
        var lossPercent = 0
        /// How long a segment travels, in µs.
        var latency: ClosedRange<Int64> = 100...1_500
        /// Of this many segments one takes up to a second longer; 0 for none.
        var delayOneIn = 0
        /// Of this many segments one ends its connection, after a part of it has arrived; 0 for none.
        var resetOneIn = 0
        init() {}
    }

    private struct Pair: Hashable {
        var from: Int
        var to: Int
    }

    var faults = Faults()
    let schedule: Schedule
    let random: SeededRandom
    var listeners: [Int: any ConnectionListener] = [:]
    /// Breaks a rule of the network on purpose: what leaves a node may be changed, doubled or dropped.
    var tamper: ((_ from: Int, _ to: Int, _ bytes: [UInt8]) -> [UInt8])?
    private var blocked: Set<Pair> = []
    private var connections: [SimulatedConnection] = []
    private var lastNumber = 0
    /// Bytes and segments that have travelled, resets, and connections that were made.
    private(set) var segments = 0
    private(set) var resets = 0
    private(set) var opened = 0

    /// After so many losses in a row an operating system gives a connection up.
    private static let retransmissionsMaximum = 7
    /// The first segment that is lost is sent again after so many µs; each further time it takes twice as long.
    private static let retransmission: Int64 = 200_000

    init(_ schedule: Schedule, random: SeededRandom) {
        self.schedule = schedule
        self.random = random
    }

    // MARK: - Partitions

    func block(from: Int, to: Int) { blocked.insert(Pair(from: from, to: to)) }
    func isBlocked(from: Int, to: Int) -> Bool { blocked.contains(Pair(from: from, to: to)) }
    var isWhole: Bool { blocked.isEmpty }

    /// Ends all partitions. What waited goes on.
    func heal() {
        blocked = []
        for connection in connections { connection.goOn() }
    }

    // MARK: - Connecting

    /// Makes a connection and calls back with it, or with nil when there was no answer.
    func connect(
        from client: Int, to server: Int, _ end: any ConnectionEnd,
        _ completion: @escaping (SimulatedConnection?) -> Void
    ) {
        guard let delay = travelTime() else {
            return schedule.after(milliseconds: 3_000) { completion(nil) }
        }
        schedule.after(2 * delay) { [self] in
            guard !isBlocked(from: client, to: server), !isBlocked(from: server, to: client) else {
                return schedule.after(milliseconds: 3_000) { completion(nil) }
            }
            lastNumber += 1
            let connection = SimulatedConnection(self, number: lastNumber, client: client, server: server)
            guard let other = listeners[server]?.accept(connection) else { return completion(nil) }
            connection.open(end, other)
            opened += 1
            connections.removeAll { !$0.isOpen }
            connections.append(connection)
            completion(connection)
        }
    }

    /// Ends all connections of a node at once: its machine is gone, and with it what it had not sent.
    func drop(node: Int) {
        for connection in connections where connection.client == node || connection.server == node {
            connection.reset()
        }
        connections.removeAll { !$0.isOpen }
    }

    /// Ends one connection, any.
    func resetOne() {
        connections.removeAll { !$0.isOpen }
        guard !connections.isEmpty else { return }
        resets += 1
        connections[random.next(below: connections.count)].reset()
    }

    // MARK: - For connections

    /// How long a segment takes, in µs; nil when it never comes.
    fileprivate func travelTime() -> Int64? {
        segments += 1
        let range = faults.latency
        var time = range.lowerBound + Int64(random.next(below: Int(range.upperBound - range.lowerBound) + 1))
        if faults.delayOneIn > 0, random.next(below: faults.delayOneIn) == 0 {
            time += Int64(random.next(below: 1_000_000))
        }
        var pause = Self.retransmission
        var losses = 0
        while faults.lossPercent > 0, random.next(below: 100) < faults.lossPercent {
            losses += 1
            guard losses < Self.retransmissionsMaximum else { return nil }
            time += pause
            pause *= 2
        }
        return time
    }

    /// Whether the next segment breaks off.
    fileprivate func isBroken() -> Bool {
        guard faults.resetOneIn > 0, random.next(below: faults.resetOneIn) == 0 else { return false }
        resets += 1
        return true
    }
}

/// A connection between a client and a server of a ``SimulatedNetwork``.
final class SimulatedConnection {
    enum Side: Int { case client, server }

    private enum Segment {
        case bytes([UInt8])
        case end
        case broken
    }

    unowned let network: SimulatedNetwork
    let number: Int
    let client: Int
    let server: Int
    private(set) var isOpen = false
    private var ends: [(any ConnectionEnd)?] = [nil, nil]
    /// When the last segment of each direction arrives.
    private var arrivals: [Int64] = [0, 0]
    /// What is under way in each direction, in order.
    private var underWay: [[Segment]] = [[], []]
    /// How many of those have come to a partition and wait for its end.
    private var held: [Int] = [0, 0]

    fileprivate init(_ network: SimulatedNetwork, number: Int, client: Int, server: Int) {
        self.network = network
        self.number = number
        self.client = client
        self.server = server
    }

    fileprivate func open(_ client: any ConnectionEnd, _ server: any ConnectionEnd) {
        ends = [client, server]
        isOpen = true
    }

    private func node(_ side: Side) -> Int { side == .client ? client : server }

    /// Sends bytes from one end to the other, in up to three segments.
    func send(_ side: Side, _ bytes: [UInt8]) {
        guard isOpen, !bytes.isEmpty else { return }
        let other = side == .client ? server : client
        var rest = network.tamper?(node(side), other, bytes) ?? bytes
        for _ in 0..<2 where rest.count > 1 && network.random.next(below: 8) == 0 {
            let size = 1 + network.random.next(below: rest.count - 1)
            travel(side, .bytes(Array(rest.prefix(size))))
            rest.removeFirst(size)
        }
        if !rest.isEmpty { travel(side, .bytes(rest)) }
    }

    /// Ends the connection in order: the other end hears of it behind what was sent, this one hears nothing more.
    func close(_ side: Side) {
        guard isOpen else { return }
        ends[side.rawValue] = nil
        travel(side, .end)
    }

    /// Ends the connection at once, for both ends. What is under way is lost.
    func reset() {
        guard isOpen else { return }
        isOpen = false
        underWay = [[], []]
        held = [0, 0]
        let both = ends
        ends = [nil, nil]
        for end in both { end?.closed() }
    }

    private func travel(_ side: Side, _ segment: Segment) {
        guard isOpen else { return }
        guard let time = network.travelTime() else { return later(side, 10_000_000, .broken) }
        var segment = segment
        var isBroken = false
        if case .bytes(let bytes) = segment, network.isBroken() {
            isBroken = true
            segment = .bytes(Array(bytes.prefix(network.random.next(below: bytes.count))))
        }
        later(side, time, segment)
        if isBroken { later(side, 0, .broken) }
    }

    private func later(_ side: Side, _ time: Int64, _ segment: Segment) {
        underWay[side.rawValue].append(segment)
        planArrival(side, time)
    }

    private func planArrival(_ side: Side, _ time: Int64) {
        let now = network.schedule.now
        let arrival = max(arrivals[side.rawValue], now + time)
        arrivals[side.rawValue] = arrival
        network.schedule.after(arrival - now) { self.arrive(side) }
    }

    /// The first segment that is under way arrives.
    private func arrive(_ side: Side) {
        guard isOpen else { return }
        let other: Side = side == .client ? .server : .client
        guard !network.isBlocked(from: node(side), to: node(other)) else {
            held[side.rawValue] += 1
            return
        }
        switch underWay[side.rawValue].removeFirst() {
        case .bytes(let bytes): if !bytes.isEmpty { ends[other.rawValue]?.received(bytes) }
        case .end, .broken: reset()
        }
    }

    /// The partition is over.
    fileprivate func goOn() {
        for side in [Side.client, .server] {
            let count = held[side.rawValue]
            held[side.rawValue] = 0
            for _ in 0..<count { planArrival(side, network.faults.latency.upperBound) }
        }
    }
}
