import Base
import BrokerCore
import Bytes
import Model
import Simulation
import Storage
import Testing

@Suite("Sending and fetching")
struct SendingTests {
    @Test("what is sent is fetched in order, with offsets from 0")
    func roundTrip() throws {
        let test = try TestBroker()
        for number in 0..<10 {
            let appended = try test.send("Orders", "message \(number)")
            #expect(appended.queueOffset.rawValue == Int64(number))
        }
        let (result, bodies) = try test.fetch("Orders")
        #expect(result.status == .found)
        #expect(result.nextOffset.rawValue == 10)
        #expect(bodies == (0..<10).map { "message \($0)" })
    }

    @Test("nothing is visible before the turn has ended")
    func visibility() throws {
        let test = try TestBroker()
        try test.send("Orders", "first")
        let queue = try test.queue("Orders")
        let topic = Array("Orders".utf8)
        let body = Array("second".utf8)
        let draft = MessageDraft(topic: topic.span.bytes, body: body.span.bytes, properties: RawSpan())
        _ = try test.broker.append(draft, to: queue)
        #expect(try test.fetch("Orders", from: 1).0.status == .offsetOverflowOne)
        try test.broker.endTurn()
        #expect(try test.fetch("Orders", from: 1).1 == ["second"])
    }

    @Test("offsets outside of a queue say where to go on")
    func outside() throws {
        let test = try TestBroker()
        try test.send("Orders", "only")
        #expect(try test.fetch("Orders", from: 1).0.status == .offsetOverflowOne)
        let beyond = try test.fetch("Orders", from: 7).0
        #expect(beyond.status == .offsetOverflowBadly)
        #expect(beyond.nextOffset.rawValue == 1)
        #expect(try test.fetch("Orders", queueID: 1).0.status == .noMessageInQueue)
    }

    @Test("tags are filtered by their hash")
    func tags() throws {
        let test = try TestBroker()
        for number in 0..<6 { try test.send("Orders", "\(number)", tag: number % 2 == 0 ? "even" : "odd") }
        let filter = try #require(TagFilter(expression: "odd || other"))
        let (result, bodies) = try test.fetch("Orders", filter: filter)
        #expect(bodies == ["1", "3", "5"])
        #expect(result.nextOffset.rawValue == 6)
        let none = try #require(TagFilter(expression: "other"))
        let (empty, _) = try test.fetch("Orders", filter: none)
        #expect(empty.status == .noMatchedMessage)
        #expect(empty.nextOffset.rawValue == 6)
    }

    @Test("expressions that name no tag are none", arguments: ["||", " || || "])
    func badExpression(expression: String) { #expect(TagFilter(expression: expression) == nil) }

    @Test(
        "names that are no topic's are refused, and say why",
        arguments: [
            ("", BrokerError.topicBlank), ("  ", .topicBlank), ("a b", .topicIllegalCharacters),
            ("ä", .topicIllegalCharacters), (String(repeating: "x", count: 128), .topicTooLong),
            ("SCHEDULE_TOPIC_XXXX", .topicIsSystem("SCHEDULE_TOPIC_XXXX")),
            ("rmq_sys_APUS_STATE", .topicIsSystem("rmq_sys_APUS_STATE")),
        ])
    func names(name: String, expected: BrokerError) throws {
        let test = try TestBroker()
        #expect(throws: expected) { try test.send(name, "body") }
    }

    @Test("the longest name is served")
    func longestName() throws {
        let test = try TestBroker()
        let name = String(repeating: "x", count: Limits.topicLengthMaximum)
        try test.send(name, "body")
        #expect(try test.fetch(name).1 == ["body"])
    }

    @Test("a topic is made with the settings of TBW102, up to what the producer asks")
    func creation() throws {
        let test = try TestBroker { $0.defaultTopicQueueCount = 3 }
        try test.send("Fresh", "body")
        let topic = try #require(test.broker.topic("Fresh")).configuration
        #expect(topic.writeQueueCount == 3)
        #expect(topic.permission == .readWrite)
    }

    @Test("without creation on first use an unknown topic is refused")
    func noCreation() throws {
        let test = try TestBroker { $0.createsTopics = false }
        #expect(throws: BrokerError.topicUnknown("Fresh")) { try test.send("Fresh", "body") }
    }

    @Test("a body of the maximum is taken, one byte more is not")
    func bodyLimit() throws {
        let test = try TestBroker { $0.messageSizeMaximum = 1000 }
        try test.send("Orders", String(repeating: "x", count: 1000))
        #expect(throws: BrokerError.messageTooLarge(bodyMaximum: 1000)) {
            try test.send("Orders", String(repeating: "x", count: 1001))
        }
    }

    @Test("a queue that the topic does not have is refused")
    func queueLimit() throws {
        let test = try TestBroker()
        try test.send("Orders", "body", queueID: 3)
        #expect(throws: BrokerError.self) { try test.send("Orders", "body", queueID: 4) }
        // Any queue will do.
        try test.send("Orders", "body", queueID: -1)
    }
}

@Suite("Held fetches")
struct HeldFetchTests {
    @Test("a message wakes those who want it, at the end of the turn")
    func wakes() throws {
        let test = try TestBroker()
        try test.send("Orders", "first")
        let queue = try test.queue("Orders")
        let waiter = TestWaiter()
        let red = try #require(TagFilter(expression: "red"))
        let deadline = test.clock.monotonic.advanced(byMilliseconds: 1000)
        _ = test.broker.hold(queue, filter: .all, from: QueueOffset(1), until: deadline, waiter: waiter, token: 1)
        _ = test.broker.hold(queue, filter: .tags(red), from: QueueOffset(1), until: deadline, waiter: waiter, token: 2)
        try test.send("Orders", "second", tag: "blue")
        #expect(waiter.woken.map(\.token) == [1])
        try test.send("Orders", "third", tag: "red")
        #expect(waiter.woken.map(\.token) == [1, 2])
        #expect(waiter.woken.allSatisfy { !$0.isExpired })
        #expect(test.broker.heldFetchCount == 0)
    }

    @Test("nobody expires early, and nobody later than a slot", arguments: [0, 1, 9, 10, 995, 15_000, 60_000])
    func expires(milliseconds: Int64) throws {
        let test = try TestBroker()
        try test.send("Orders", "first")
        let waiter = TestWaiter()
        let deadline: MonotonicTime = test.clock.monotonic.advanced(byMilliseconds: milliseconds)
        _ = test.broker.hold(
            try test.queue("Orders"), filter: .all, from: QueueOffset(1), until: deadline, waiter: waiter, token: 1)
        var waited: Int64 = 0
        while waiter.woken.isEmpty, waited <= milliseconds + 100 {
            test.broker.expireFetches()
            if !waiter.woken.isEmpty { break }
            test.clock.advance(milliseconds: 1)
            waited += 1
        }
        #expect(waiter.woken.first?.isExpired == true)
        #expect(waited >= milliseconds)
        #expect(waited <= milliseconds + 20)
    }

    @Test("a pause longer than the wheel still expires everybody")
    func longPause() throws {
        let test = try TestBroker()
        try test.send("Orders", "first")
        let waiter = TestWaiter()
        for token in 0..<100 {
            _ = test.broker.hold(
                try test.queue("Orders"), filter: .all, from: QueueOffset(1),
                until: test.clock.monotonic.advanced(byMilliseconds: Int64(token) * 777), waiter: waiter, token: token)
        }
        test.clock.advance(milliseconds: 10_000_000)
        test.broker.expireFetches()
        #expect(Set(waiter.woken.map(\.token)) == Set(0..<100))
        #expect(test.broker.heldFetchCount == 0)
    }

    @Test("whoever has gone is not woken")
    func released() throws {
        let test = try TestBroker()
        try test.send("Orders", "first")
        let waiter = TestWaiter()
        let fetches = try (0..<5).map { token in
            test.broker.hold(
                try test.queue("Orders"), filter: .all, from: QueueOffset(1),
                until: test.clock.monotonic.advanced(byMilliseconds: 100), waiter: waiter, token: token)
        }
        test.broker.release(fetches[1])
        test.broker.release(fetches[1])
        test.broker.release(fetches[4])
        try test.send("Orders", "second")
        #expect(Set(waiter.woken.map(\.token)) == [0, 2, 3])
        test.clock.advance(milliseconds: 1000)
        test.broker.expireFetches()
        #expect(waiter.woken.count == 3)
    }
}
