import Base
import Model
import Testing

@testable import ApusClient

/// Queues of one topic on one broker; results are queue numbers.
private func queues(_ count: Int, broker: String = "b") -> [MessageQueue] {
    (0..<Int32(count)).map { MessageQueue(topic: "T", brokerName: broker, queueID: QueueID($0)) }
}

private func numbers(_ strategy: AllocationStrategy, _ queueCount: Int, members: Int) -> [[Int32]] {
    let all = (0..<members).map { "c\($0)" }
    return all.map { strategy.allocate(queues(queueCount), to: $0, of: all).map(\.queueID.rawValue) }
}

@Suite("Queues are shared as RocketMQ's clients share them")
struct AllocationStrategyTests {
    /// Rows as in RocketMQ's AllocateMessageQueueAveragely.
    @Test(
        "AVG gives runs of adjacent queues, one more to the first members",
        arguments: [
            (4, 1, [[0, 1, 2, 3]]), (4, 2, [[0, 1], [2, 3]]), (4, 3, [[0, 1], [2], [3]]), (4, 4, [[0], [1], [2], [3]]),
            (2, 3, [[0], [1], []]), (8, 3, [[0, 1, 2], [3, 4, 5], [6, 7]]), (0, 2, [[], []]),
        ] as [(Int, Int, [[Int32]])])
    func average(queues: Int, members: Int, expected: [[Int32]]) {
        #expect(numbers(.average, queues, members: members) == expected)
    }

    @Test(
        "AVG_BY_CIRCLE deals queues out in turn",
        arguments: [
            (4, 1, [[0, 1, 2, 3]]), (4, 3, [[0, 3], [1], [2]]), (2, 3, [[0], [1], []]),
            (8, 3, [[0, 3, 6], [1, 4, 7], [2, 5]]),
        ] as [(Int, Int, [[Int32]])])
    func circle(queues: Int, members: Int, expected: [[Int32]]) {
        #expect(numbers(.averageByCircle, queues, members: members) == expected)
    }

    @Test("CONFIG gives what it was told, whoever is there")
    func configured() {
        let own = Array(queues(2))
        #expect(AllocationStrategy.configured(own).allocate(queues(8), to: "c0", of: []) == own)
    }

    @Test("MACHINE_ROOM takes queues of its rooms only, and gives what is left over to the first members")
    func machineRoom() {
        let all = (queues(3, broker: "r1@b") + queues(2, broker: "r2@b") + queues(9, broker: "r3@b") + queues(1))
            .sorted()
        let strategy = AllocationStrategy.machineRoom(["r1", "r2"])
        let first = strategy.allocate(all, to: "a", of: ["a", "b"])
        let second = strategy.allocate(all, to: "b", of: ["a", "b"])
        #expect(first.map { "\($0.brokerName)\($0.queueID)" } == ["r1@b0", "r1@b1", "r2@b1"])
        #expect(second.map { "\($0.brokerName)\($0.queueID)" } == ["r1@b2", "r2@b0"])
    }

    @Test(
        "each queue has exactly one owner, with any numbers of queues and members",
        arguments: [.average, .averageByCircle, .consistentHash()] as [AllocationStrategy])
    func partition(strategy: AllocationStrategy) {
        for queueCount in 0...17 {
            for members in 1...7 {
                let shared = numbers(strategy, queueCount, members: members).flatMap { $0 }
                #expect(shared.sorted() == Array(0..<Int32(queueCount)), "\(queueCount) queues, \(members) members")
            }
        }
    }

    @Test("CONSISTENT_HASH moves only queues of the member that left")
    func consistency() {
        let before = numbers(.consistentHash(), 64, members: 4)
        let all = ["c0", "c1", "c2"]
        for (index, name) in all.enumerated() {
            let after = AllocationStrategy.consistentHash().allocate(queues(64), to: name, of: all)
            #expect(Set(before[index]).isSubset(of: after.map(\.queueID.rawValue)))
        }
    }

    @Test("whoever is not a member gets nothing")
    func stranger() {
        #expect(AllocationStrategy.average.allocate(queues(4), to: "x", of: ["a", "b"]).isEmpty)
    }

    @Test(
        "MD5 is RFC 1321's",
        arguments: [
            ("", "d41d8cd98f00b204e9800998ecf8427e"), ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a"
            ),
        ])
    func digest(text: String, expected: String) {
        let digits = md5(Array(text.utf8)).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        #expect(digits.joined() == expected)
    }
}
