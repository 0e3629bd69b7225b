import Base
import Model

/// How the queues of a topic are shared among the members of a group. Every member computes the whole sharing by itself, from
/// the same sorted lists, so the results must be RocketMQ's exactly.
public enum AllocationStrategy: Equatable, Sendable {
    /// Runs of adjacent queues, as equal as possible; the first members get one more (`AVG`).
    case average
    /// Queues dealt out in turn (`AVG_BY_CIRCLE`).
    case averageByCircle
    /// Each queue to the member that follows it on a ring of MD5 hashes (`CONSISTENT_HASH`): few queues move when a member
    /// comes or goes.
    case consistentHash(virtualNodes: Int = 10)
    /// These queues, whoever else is there (`CONFIG`).
    case configured([MessageQueue])
    /// Queues on brokers called `room@broker` in one of the rooms, shared evenly (`MACHINE_ROOM`).
    case machineRoom(Set<String>)

    /// The queues of one member.
    /// - Parameters:
    ///   - queues: all of the topic, sorted.
    ///   - clientIDs: all members, sorted.
    /// - Returns: none when `clientID` is not a member.
    public func allocate(_ queues: [MessageQueue], to clientID: String, of clientIDs: [String]) -> [MessageQueue] {
        if case .configured(let own) = self { return own }
        guard let index = clientIDs.firstIndex(of: clientID) else { return [] }
        switch self {
        case .average: return Self.average(queues, index, clientIDs.count)
        case .averageByCircle:
            return stride(from: index, to: queues.count, by: clientIDs.count).map { queues[$0] }
        case .consistentHash(let virtualNodes):
            let ring = HashRing(members: clientIDs, virtualNodes: virtualNodes)
            return queues.filter { ring.member(for: Self.javaDescription($0)) == clientID }
        case .configured(let own): return own
        case .machineRoom(let rooms):
            let inRooms = queues.filter { queue in
                let parts = queue.brokerName.split(separator: "@", omittingEmptySubsequences: false)
                return parts.count == 2 && rooms.contains(String(parts[0]))
            }
            return Self.machineRoom(inRooms, index, clientIDs.count)
        }
    }

    private static func average(_ queues: [MessageQueue], _ index: Int, _ members: Int) -> [MessageQueue] {
        let (least, rest) = queues.count.quotientAndRemainder(dividingBy: members)
        let start = index * least + min(index, rest)
        return Array(queues[start..<start + least + (index < rest ? 1 : 0)])
    }

    private static func machineRoom(_ queues: [MessageQueue], _ index: Int, _ members: Int) -> [MessageQueue] {
        let (least, rest) = queues.count.quotientAndRemainder(dividingBy: members)
        var own = Array(queues[index * least..<(index + 1) * least])
        if index < rest { own.append(queues[index + least * members]) }
        return own
    }

    /// What Java hashes for a queue.
    private static func javaDescription(_ queue: MessageQueue) -> String {
        "MessageQueue [topic=\(queue.topic), brokerName=\(queue.brokerName), queueId=\(queue.queueID)]"
    }
}

/// A ring of hashes on which each member stands several times.
struct HashRing {
    private var nodes: [(hash: UInt32, member: String)]

    init(members: [String], virtualNodes: Int) {
        nodes = members.flatMap { member in
            (0..<max(1, virtualNodes)).map { (Self.hash("\(member)-\($0)"), member) }
        }
        nodes.sort { $0.hash < $1.hash }
    }

    /// The member at the hash of `key`, or the next one on the ring.
    func member(for key: String) -> String? {
        let hash = Self.hash(key)
        return (nodes.first { $0.hash >= hash } ?? nodes.first)?.member
    }

    /// The first four bytes of the MD5 of the text, big-endian.
    static func hash(_ text: String) -> UInt32 {
        md5(Array(text.utf8)).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }
}
