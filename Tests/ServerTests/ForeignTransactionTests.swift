import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Testing

@testable import Server

@Suite("Transactions in stores that RocketMQ wrote")
struct ForeignTransactionTests {
    /// What the producer of the fixture said of itself: its local transactions and its answers to checks, as words of the body.
    static let pending = ["t6-0", "t6-1", "t6-2", "t6-3", "t9-0", "t9-1"]

    @Test(
        "exactly those are pending that nobody ended, they are asked about, and can be ended", arguments: [false, true])
    func pending(isKilled: Bool) throws {
        let fixture = ForeignStoreTests.fixtures[0]
        let files = try UnpackedStore(fixture.archive)
        let disk = SimulatedDisk()
        try files.install(on: disk)
        let clock = SimulatedClock(timestamp: Timestamp(milliseconds: 1_795_300_000_000))
        var store = try ServedStore(disk, clock, fixture, isForeign: true)
        #expect(store.broker.pendingTransactionCount == 6)
        if isKilled { disk.crash(.processKill) } else { try store.close() }
        // Before the first checkpoint it is RocketMQ's still, and is taken over once more.
        store = try ServedStore(disk, clock, fixture, isForeign: isKilled)
        #expect(store.broker.pendingTransactionCount == 6)

        let producer = Producer()
        try store.broker.heartbeat(
            Heartbeat(
                identity: ClientIdentity(clientID: "c", language: "JAVA", version: 409), producerGroups: ["FxPG_tx2"],
                consumers: []), on: producer)
        for _ in 0..<200 {
            clock.advance(milliseconds: 50)
            try store.broker.keepHouse()
            store.frontend.endTurn()
            // Half messages that nobody has read since the start come from the medium.
            while disk.runCompletions() > 0 { store.frontend.endTurn() }
        }
        #expect(producer.checks.map { $0.body.split(separator: " ")[1] }.sorted() == Self.pending.map { $0[...] })
        let before = try total(store)
        for check in producer.checks {
            let answer = try store.ask(
                .endTransaction,
                [
                    ("producerGroup", "FxPG_tx2"), ("tranStateTableOffset", "\(check.queueOffset)"),
                    ("commitLogOffset", "\(check.physicalOffset)"), ("commitOrRollback", "8"),
                    ("fromTransactionCheck", "true"), ("msgId", ""),
                ])
            #expect(answer.code == 0, "\(answer)")
        }
        #expect(try total(store) == before + 6)
        #expect(store.broker.pendingTransactionCount == 0)
        try store.close()
    }

    private func total(_ store: ServedStore) throws -> Int64 {
        try (0..<2).reduce(Int64(0)) { sum, queue in
            let maximum = try store.maximum("FxTx", queue)
            return sum + (try #require(maximum))
        }
    }

    /// A client that notes what it is asked.
    private final class Producer: ClientChannel {
        let peer = HostAddress.loopback(port: 9)
        let isReachable = true
        var checks: [(queueOffset: QueueOffset, physicalOffset: PhysicalOffset, body: String)] = []
        func membersChanged(of group: String) {}
        func checkTransaction(_ check: TransactionCheck) {
            guard let record = try? MessageRecord(check.record.bytes) else { return }
            checks.append(
                (
                    check.queueOffset, check.physicalOffset, check.record.bytes.extracting(record.body).string()
                ))
        }
    }
}
