import Base
import Testing

@testable import ApusClient

private func messages(_ offsets: [Int64], bytes: Int = 1) throws -> [ReceivedMessage] {
    try offsets.map {
        try StoredRecord(queueOffset: $0, body: [UInt8](repeating: 0, count: bytes)).message()
    }
}

private func queue(_ offsets: [Int64], nextOffset: Int64) throws -> ProcessQueue {
    var queue = ProcessQueue(from: QueueOffset(offsets.first ?? 0))
    queue.append(try messages(offsets), nextOffset: QueueOffset(nextOffset))
    return queue
}

extension ProcessQueue {
    fileprivate mutating func take() -> Int64? { takeNext()?.queueOffset.rawValue }
    fileprivate mutating func ack(_ offset: Int64) { acknowledge(QueueOffset(offset)) }
}

@Suite("The offset of a group never passes a message that is not acknowledged")
struct ProcessQueueTests {
    @Test("messages come in order, once")
    func order() throws {
        var queue = try queue([3, 4, 7], nextOffset: 8)
        #expect([queue.take(), queue.take(), queue.take(), queue.take()] == [3, 4, 7, nil])
    }

    @Test("the commit offset is the oldest message that is not acknowledged, in whatever order answers come")
    func commitOffset() throws {
        var queue = try queue([3, 4, 7], nextOffset: 9)
        for _ in 0..<3 { _ = queue.take() }
        #expect(queue.commitOffset.rawValue == 3)
        queue.ack(4)
        #expect(queue.commitOffset.rawValue == 3)
        queue.ack(3)
        #expect(queue.commitOffset.rawValue == 7)
        queue.ack(7)
        #expect(queue.commitOffset.rawValue == 9, "what the filter passed over counts as consumed")
    }

    @Test("a pull that found nothing moves the commit offset of an empty queue only")
    func emptyPull() throws {
        var queue = try queue([3], nextOffset: 4)
        queue.append([], nextOffset: QueueOffset(50))
        #expect(queue.commitOffset.rawValue == 3)
        _ = queue.take()
        queue.ack(3)
        #expect(queue.commitOffset.rawValue == 50)
    }

    @Test("a message put back comes again before newer ones, with one attempt more")
    func putBack() throws {
        var queue = try queue([1, 2, 3], nextOffset: 4)
        _ = queue.take()
        _ = queue.take()
        queue.putBack(QueueOffset(1))
        let again = queue.takeNext()
        #expect(again?.queueOffset.rawValue == 1)
        #expect(again?.reconsumeTimes == 1)
        #expect(queue.take() == 3)
        #expect(queue.take() == nil)
    }

    @Test("answers that come twice, or for what is not there, change nothing")
    func strayAnswers() throws {
        var queue = try queue([1, 2], nextOffset: 3)
        _ = queue.take()
        queue.ack(1)
        queue.ack(1)
        queue.ack(99)
        queue.putBack(QueueOffset(1))
        queue.putBack(QueueOffset(2))
        #expect(queue.count == 1)
        #expect(queue.take() == 2)
    }

    @Test("messages that are here already are passed over")
    func duplicates() throws {
        var queue = try queue([1, 2], nextOffset: 3)
        queue.append(try messages([1, 2, 3]), nextOffset: QueueOffset(4))
        #expect(queue.count == 3)
    }

    @Test("count, bytes and span say what is held")
    func sizes() throws {
        var queue = ProcessQueue(from: .zero)
        queue.append(try messages([5, 6, 15], bytes: 10), nextOffset: QueueOffset(16))
        #expect((queue.count, queue.bytes, queue.span) == (3, 30, 10))
        _ = queue.take()
        queue.ack(5)
        #expect((queue.count, queue.bytes, queue.span) == (2, 20, 9))
    }

    @Test("a long run with answers out of order ends where it should", arguments: [1, 2, 3] as [UInt64])
    func longRun(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        var queue = ProcessQueue(from: .zero)
        var out: Set<Int64> = []
        var next: Int64 = 0
        var pending: Set<Int64> = []
        for _ in 0..<3000 {
            switch random.next(below: 4) {
            case 0 where next < 1000:
                queue.append(try messages([next, next + 1]), nextOffset: QueueOffset(next + 2))
                pending.formUnion([next, next + 1])
                next += 2
            case 1: if let offset = queue.take() { out.insert(offset) }
            case 2:
                if let offset = out.sorted().randomElement() {
                    out.remove(offset)
                    pending.remove(offset)
                    queue.ack(offset)
                }
            default:
                if let offset = out.min(), random.next(below: 3) == 0 {
                    out.remove(offset)
                    queue.putBack(QueueOffset(offset))
                }
            }
            #expect(queue.commitOffset.rawValue == pending.min() ?? next)
            #expect(queue.count == pending.count)
        }
    }
}
