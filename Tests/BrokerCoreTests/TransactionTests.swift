import Base
import Bytes
import Model
import Simulation
import Storage
import Testing

@testable import BrokerCore

@Suite("Transactions")
struct TransactionTests {
    static let groupBytes = Array("payers".utf8)

    @Test("a half message is invisible until it is committed, and then is the message that was sent")
    func commit() throws {
        let test = try TestBroker()
        let host = HostAddress(ipv4: 0x0A01_0203, port: 999)
        let half = try test.prepare(
            "Orders", "paid", queueID: 2, properties: [("TAGS", "a"), ("KEYS", "k1")], bornHost: host)
        #expect(try test.all("Orders", queueID: 2).isEmpty)
        #expect(test.broker.pendingTransactionCount == 1)
        try test.end(half, .commit)
        #expect(try test.all("Orders", queueID: 2) == ["paid"])
        #expect(test.broker.pendingTransactionCount == 0)
        let (record, bytes) = try test.record("Orders", queueID: 2)
        let properties = MessageProperties.decode(bytes.span.bytes.extracting(record.properties))
            .filter { $0.name != "__CRC32#" }
        #expect(properties.map(\.name).sorted() == ["KEYS", "PGROUP", "TAGS", "TRAN_MSG", "UNIQ_KEY"])
        #expect(record.flags.transactionState == MessageFlags.transactionCommit)
        #expect(record.bornHost == host && record.bornTimestamp.milliseconds == 42 && record.flag == 7)
        #expect(PendingID(field: record.preparedTransactionOffset) == PendingID(.half, QueueID(0), half.queueOffset))
    }

    @Test("a rolled back message is never seen")
    func rollback() throws {
        let test = try TestBroker()
        let half = try test.prepare("Orders", "not paid")
        try test.end(half, .rollback)
        #expect(throws: BrokerError.transaction(.ended)) { try test.end(half, .commit) }
        #expect(try test.all("Orders").isEmpty)
        #expect(test.broker.pendingTransactionCount == 0)
        #expect(test.broker.metrics.transactionsRolledBack == 1)
    }

    @Test("who ends a half message that a power cut took does not end the one that got its place")
    func placeTaken() throws {
        let test = try TestBroker()
        let before = try test.prepare("Orders", "before")
        try test.flush()
        test.disk.faults.writeBackOneIn = 0
        test.disk.faults.crashDamagePercent = 100
        let lost = try test.prepare("Orders", "lost")
        try test.losePower()
        let other = try test.prepare("Orders", "next")
        // Otherwise this shows nothing.
        try #require(other.physicalOffset == lost.physicalOffset && other.queueOffset == lost.queueOffset)
        for outcome in [TransactionOutcome.commit, .rollback] {
            #expect(throws: BrokerError.transaction(.otherMessage)) { try test.end(lost, outcome) }
        }
        #expect(try test.all("Orders").isEmpty && test.broker.pendingTransactionCount == 2)
        try test.end(other, .commit)
        try test.end(before, .commit)
        #expect(try test.all("Orders") == ["next", "before"])
    }

    @Test("what ends a transaction wrongly changes nothing")
    func wrongEnds() throws {
        let test = try TestBroker()
        let sent = try test.send("Orders", "ordinary")
        let half = try test.prepare("Orders", "paid")
        let other = try test.prepare("Orders", "other")
        func end(_ change: (inout PreparedHalf) -> Void, group: String = "payers") throws {
            var wrong = half
            change(&wrong)
            try test.end(wrong, .commit, group: group)
        }
        let wrongPlaces: [Int64] = [
            -1, .min, .max, half.physicalOffset.rawValue + 1, 1 << 40, sent.physicalOffset.rawValue,
        ]
        for place in wrongPlaces {
            #expect(throws: BrokerError.transaction(.notFound)) {
                try end { $0.physicalOffset = PhysicalOffset(place) }
            }
        }
        for offset: Int64 in [-1, .min, .max, other.queueOffset.rawValue, 1 << 44] {
            #expect(throws: BrokerError.transaction(.queueOffsetWrong)) {
                try end { $0.queueOffset = QueueOffset(offset) }
            }
        }
        for group in ["", "payer", "payerss", "strangers"] {
            #expect(throws: BrokerError.transaction(.groupWrong)) { try end({ _ in }, group: group) }
        }
        #expect(test.broker.pendingTransactionCount == 2)
        #expect(try test.all("Orders") == ["ordinary"])
        try test.end(half, .commit)
        #expect(throws: BrokerError.transaction(.ended)) { try test.end(half, .commit) }
        #expect(throws: BrokerError.transaction(.ended)) { try test.end(half, .rollback) }
        #expect(try test.all("Orders") == ["ordinary", "paid"])
    }

    @Test("a body that looks like a half message ends nothing")
    func forgedRecord() throws {
        let test = try TestBroker()
        let half = try test.prepare("Orders", "paid")
        // Where the body of the next message will lie: behind 84 + 4 bytes of its record.
        let place = test.broker.store.end.advanced(by: 88)
        for queueOffset in [half.queueOffset, QueueOffset(1 << 50)] {
            let place = test.broker.store.end.advanced(by: 88)
            let topic = Array(SystemTopics.half.utf8)
            let properties = Array("REAL_TOPIC\u{1}Orders\u{2}REAL_QID\u{1}0\u{2}PGROUP\u{1}payers\u{2}".utf8)
            let body = Array("forged".utf8)
            let draft = MessageDraft(topic: topic.span.bytes, body: body.span.bytes, properties: properties.span.bytes)
            let forged = ByteBuffer()
            draft.appendRecord(
                queueOffset: queueOffset, physicalOffset: place, storeTimestamp: test.clock.timestamp, to: forged)
            try test.sendBytes("Orders", forged.bytes.array())
            let wrong = PreparedHalf(body: "", queueOffset: queueOffset, physicalOffset: place)
            #expect(throws: BrokerError.self) { try test.end(wrong, .commit) }
        }
        #expect(place > .zero)
        #expect(test.broker.pendingTransactionCount == 1)
    }

    @Test("a producer's own properties cannot say where its message goes")
    func forgedDestination() throws {
        let test = try TestBroker()
        let half = try test.prepare(
            "Orders", "paid", properties: [("REAL_TOPIC", "rmq_sys_APUS_STATE"), ("REAL_QID", "99999")])
        try test.end(half, .commit)
        #expect(try test.all("Orders") == ["paid"])
    }

    @Test("a transaction ends as it did, and once, whatever happens to the process", arguments: [false, true])
    func survives(isKilled: Bool) throws {
        let test = try TestBroker()
        let halves = try (0..<200).map { try test.prepare("Orders", "\($0)") }
        for half in halves.filter({ $0.queueOffset.rawValue % 3 == 0 }) { try test.end(half, .commit) }
        for half in halves.filter({ $0.queueOffset.rawValue % 3 == 1 }) { try test.end(half, .rollback) }
        if isKilled { try test.kill() } else { try test.restart() }
        for half in halves where half.queueOffset.rawValue % 3 < 2 {
            #expect(throws: BrokerError.transaction(.ended)) { try test.end(half, .commit) }
        }
        for half in halves.filter({ $0.queueOffset.rawValue % 3 == 2 }) { try test.end(half, .commit) }
        let expected = halves.filter { $0.queueOffset.rawValue % 3 != 1 }.map(\.body)
        #expect(try Set(test.all("Orders")) == Set(expected))
        #expect(try test.all("Orders").count == expected.count)
        #expect(test.broker.pendingTransactionCount == 0)
    }

    @Test("a committed message whose topic was removed makes it again, where topics may be made")
    func topicRemoved() throws {
        let test = try TestBroker()
        let half = try test.prepare("Orders", "paid", queueID: 3)
        try test.broker.removeTopic("Orders")
        try test.end(half, .commit)
        #expect(try test.all("Orders", queueID: 3) == ["paid"])

        let strict = try TestBroker { $0.createsTopics = false }
        try strict.broker.putTopic(TopicConfiguration(name: "Orders", readQueueCount: 4, writeQueueCount: 4))
        let kept = try strict.prepare("Orders", "paid")
        try strict.broker.removeTopic("Orders")
        #expect(throws: BrokerError.topicUnknown("Orders")) { try strict.end(kept, .commit) }
        try strict.broker.putTopic(TopicConfiguration(name: "Orders", readQueueCount: 4, writeQueueCount: 4))
        try strict.end(kept, .commit)
        #expect(try strict.all("Orders") == ["paid"])
    }

    @Test("half messages are refused where they are not wanted or too large")
    func refused() throws {
        let test = try TestBroker { $0.messageSizeMaximum = 10 }
        #expect(throws: BrokerError.messageTooLarge(bodyMaximum: 10)) { try test.prepare("Orders", "12345678901") }
        #expect(throws: BrokerError.self) {
            try test.prepare("Orders", "1", properties: [("a", String(repeating: "x", count: 32_700))])
        }
        #expect(test.broker.pendingTransactionCount == 0)
    }
}

@Suite("Questions to producers")
struct TransactionCheckTests {
    @Test("a producer is asked on time, in intervals, and no more often than the maximum")
    func schedule() throws {
        let test = try TestBroker {
            $0.transactions.checkMaximum = 3
            $0.memberExpiryMilliseconds = 10_000_000
        }
        let producer = TestChannel()
        try test.produce(on: producer)
        let half = try test.prepare("Orders", "paid", queueID: 1, properties: [("TAGS", "t")])
        try test.advance(milliseconds: 5_900)
        #expect(producer.checks.isEmpty)
        try test.advance(milliseconds: 200)
        #expect(producer.checks.count == 1)
        try test.advance(milliseconds: 59_800)
        #expect(producer.checks.count == 1)
        try test.advance(milliseconds: 60_300)
        #expect(producer.checks.count == 3)
        #expect(try test.all("TRANS_CHECK_MAX_TIME_TOPIC").isEmpty)
        try test.advance(milliseconds: 60_000)
        #expect(try test.all("TRANS_CHECK_MAX_TIME_TOPIC") == ["paid"])
        try test.advance(milliseconds: 600_000)
        #expect(producer.checks.count == 3)
        #expect(try test.all("TRANS_CHECK_MAX_TIME_TOPIC") == ["paid"])
        #expect(test.broker.pendingTransactionCount == 0 && test.broker.state.checkedHalves.count == 0)
        #expect(throws: BrokerError.transaction(.ended)) { try test.end(half, .commit) }
        #expect(test.broker.metrics.transactionsChecked == 3 && test.broker.metrics.transactionsGivenUp == 1)
    }

    @Test("the question holds the message as it was sent, and what ends it")
    func content() throws {
        let test = try TestBroker()
        let producer = TestChannel()
        try test.produce(on: producer)
        let half = try test.prepare("Orders", "paid", queueID: 1, properties: [("TAGS", "t")])
        try test.advance(milliseconds: 6_100)
        let check = try #require(producer.checks.first)
        #expect(check.queueOffset == half.queueOffset.rawValue && check.physicalOffset == half.physicalOffset.rawValue)
        #expect(check.uniqueKey == "id-paid")
        let span = check.record.span.bytes
        let record = try MessageRecord(span)
        #expect(record.size == check.record.count && record.queueID.rawValue == 1)
        #expect(span.extracting(record.topic).string() == "Orders" && span.extracting(record.body).string() == "paid")
        #expect(record.flags.transactionState == 0 && record.physicalOffset == half.physicalOffset)
        let properties = Dictionary(
            uniqueKeysWithValues: MessageProperties.decode(span.extracting(record.properties)).map {
                ($0.name, $0.value)
            })
        #expect(properties["TRANSACTION_CHECK_TIMES"] == "1" && properties["PGROUP"] == "payers")
        #expect(properties["TRAN_MSG"] == "true" && properties["TAGS"] == "t")
    }

    @Test(
        "a message's own immunity counts instead of the setting; what is no time does not",
        arguments: [("2", 2_000), ("30", 30_000), ("0", 500), ("-5", 6_000), ("soon", 6_000), ("", 6_000)])
    func immunity(value: String, milliseconds: Int64) throws {
        let test = try TestBroker()
        let producer = TestChannel()
        try test.produce(on: producer)
        _ = try test.prepare("Orders", "paid", properties: [("CHECK_IMMUNITY_TIME_IN_SECONDS", value)])
        try test.advance(milliseconds: milliseconds - 100)
        #expect(producer.checks.isEmpty)
        try test.advance(milliseconds: 200)
        #expect(producer.checks.count == 1)
    }

    @Test("an immunity beyond all measure does no harm", arguments: ["9223372036854775807", "99999999999999999999"])
    func endlessImmunity(value: String) throws {
        let test = try TestBroker()
        try test.produce(on: TestChannel())
        let half = try test.prepare("Orders", "paid", properties: [("CHECK_IMMUNITY_TIME_IN_SECONDS", value)])
        try test.advance(milliseconds: 5_000)
        try test.restart()
        try test.advance(milliseconds: 1_000)
        try test.end(half, .commit)
        #expect(try test.all("Orders") == ["paid"])
    }

    @Test("without a producer nothing is counted, and one that comes is asked at once", arguments: [false, true])
    func offline(isKilled: Bool) throws {
        let test = try TestBroker { $0.transactions.checkMaximum = 2 }
        let producer = TestChannel()
        _ = try test.prepare("Orders", "paid")
        try test.advance(milliseconds: 1_000_000)
        #expect(test.broker.pendingTransactionCount == 1)
        if isKilled { try test.kill() }
        try test.produce("strangers", on: producer)
        try test.advance(milliseconds: 10_000)
        #expect(producer.checks.isEmpty)
        try test.produce(on: producer)
        try test.advance(milliseconds: 100)
        #expect(producer.checks.count == 1)
        try test.advance(milliseconds: 60_000)
        #expect(producer.checks.count == 2)
    }

    @Test("a producer that takes nothing is passed over, or waited for")
    func unreachable() throws {
        let test = try TestBroker()
        let (stuck, reading) = (TestChannel(), TestChannel())
        stuck.isReachable = false
        try test.produce(on: stuck, client: "a")
        for number in 0..<10 { _ = try test.prepare("Orders", "\(number)") }
        try test.advance(milliseconds: 10_000)
        #expect(stuck.checks.isEmpty)
        try test.produce(on: reading, client: "b")
        try test.advance(milliseconds: 1_100)
        #expect(stuck.checks.isEmpty && reading.checks.count == 10)
    }

    @Test("every producer of a group is asked now and then")
    func spread() throws {
        let test = try TestBroker()
        let channels = (0..<3).map { _ in TestChannel() }
        for (number, channel) in channels.enumerated() { try test.produce(on: channel, client: "\(number)") }
        for number in 0..<60 { _ = try test.prepare("Orders", "\(number)") }
        try test.advance(milliseconds: 7_000)
        #expect(channels.map(\.checks.count).reduce(0, +) == 60)
        #expect(channels.allSatisfy { $0.checks.count > 5 })
    }

    @Test("the number of questions survives, and so does the time of the next", arguments: [false, true])
    func survives(isKilled: Bool) throws {
        let test = try TestBroker { $0.transactions.checkMaximum = 3 }
        let producer = TestChannel()
        try test.produce(on: producer)
        _ = try test.prepare("Orders", "paid")
        try test.advance(milliseconds: 6_100)
        #expect(producer.checks.count == 1)
        for expected in 2...3 {
            try test.advance(milliseconds: 30_000)
            if isKilled { try test.kill() } else { try test.restart() }
            try test.produce(on: producer)
            try test.advance(milliseconds: 29_000)
            #expect(producer.checks.count == expected - 1)
            try test.advance(milliseconds: 1_200)
            #expect(producer.checks.count == expected)
        }
        if isKilled { try test.kill() } else { try test.restart() }
        try test.produce(on: producer)
        try test.advance(milliseconds: 61_000)
        #expect(producer.checks.count == 3)
        #expect(try test.all("TRANS_CHECK_MAX_TIME_TOPIC") == ["paid"])
    }

    @Test(
        "a wall clock that jumps neither hastens nor puts off a question, and over a restart by one wait at the most",
        arguments: [-86_400_000, 86_400_000 as Int64], [false, true])
    func jumps(by jump: Int64, restarts: Bool) throws {
        let test = try TestBroker()
        let producer = TestChannel()
        try test.produce(on: producer)
        _ = try test.prepare("Orders", "paid")
        try test.advance(milliseconds: 1_000)
        test.clock.setWallClock(Timestamp(milliseconds: test.clock.timestamp.milliseconds + jump))
        if restarts {
            try test.kill()
            try test.produce(on: producer)
            try test.advance(milliseconds: 6_200)
        } else {
            try test.advance(milliseconds: 4_900)
            #expect(producer.checks.isEmpty)
            try test.advance(milliseconds: 200)
        }
        #expect(producer.checks.count == 1)
        test.clock.setWallClock(Timestamp(milliseconds: test.clock.timestamp.milliseconds - 3 * jump))
        try test.advance(milliseconds: 60_100)
        #expect(producer.checks.count == 2)
    }

    @Test("when memory is full the rest waits on the disk")
    func bounded() throws {
        let test = try TestBroker {
            $0.transactions.waitingMaximum = 10
            $0.memberExpiryMilliseconds = 10_000_000
        }
        let producer = TestChannel()
        let halves = try (0..<40).map { try test.prepare("Orders", "\($0)", group: $0 < 20 ? "dead" : "payers") }
        try test.produce(on: producer)
        try test.advance(milliseconds: 20_000)
        #expect(test.broker.transactions.waitingCount <= 10)
        for half in halves[20...] {
            guard producer.checks.contains(where: { $0.queueOffset == half.queueOffset.rawValue }) else { continue }
            try test.end(half, .commit)
        }
        for _ in 0..<20 {
            try test.advance(milliseconds: 61_000)
            #expect(test.broker.transactions.waitingCount <= 10)
            for check in producer.checks {
                try? test.end(halves[Int(check.queueOffset)], .commit)
            }
        }
        #expect(Set(producer.checks.map(\.queueOffset)).count == 20)
        try test.produce("dead", on: producer, client: "late")
        for _ in 0..<20 {
            try test.advance(milliseconds: 61_000)
            for check in producer.checks where check.queueOffset < 20 {
                try? test.end(halves[Int(check.queueOffset)], .rollback, group: "dead")
            }
        }
        #expect(Set(producer.checks.map(\.queueOffset)).count == 40)
        #expect(test.broker.pendingTransactionCount == 0)
    }

    @Test("transactions that end at once never wait in memory")
    func cheap() throws {
        let test = try TestBroker()
        for number in 0..<50 {
            try test.end(try test.prepare("Orders", "\(number)"), .commit)
            try test.advance(milliseconds: 50)
            #expect(test.broker.transactions.waitingCount == 0)
        }
    }
}

@Suite("Ends of transactions as RocketMQ noted them")
struct ForeignOperationTests {
    @Test(
        "the offsets in the body of an operation are found, and nothing else",
        arguments: [
            ("7", [7]), ("0", [0]), ("1,2,3", [1, 2, 3]), ("9", [9]), ("10", []), ("", []), (",", []), ("-1", []),
            ("1,x,2", [1, 2]), ("99999999999999999999,3", [3]), ("1,2,", [1, 2]), ("9223372036854775807", []),
        ] as [(String, [Int64])])
    func bodies(body: String, expected: [Int64]) {
        let bytes = Array(body.utf8)
        let found = Broker.offsets(bytes.span.bytes, below: QueueOffset(10))
        #expect(found.map(\.queueOffset.rawValue) == expected)
    }
}
