import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Testing

@Suite("Health")
struct HealthTests {
    private static func check(_ it: BrokerConversation, _ name: String) throws -> HealthCheck {
        try #require(it.frontend.health().first { $0.name == name })
    }

    private static func information(_ it: BrokerConversation) throws -> [String: String] {
        try KVTable(parsing: try it.connect().ask(.getBrokerRuntimeInfo).body.span.bytes).table
    }

    @Test("a broker that is well says so of every promise, to tools as well")
    func healthy() throws {
        let it = try BrokerConversation()
        try it.putTopic("T")
        try it.connect().produce("x", to: "T")
        it.advance(milliseconds: 2_000)
        let checks = it.frontend.health()
        #expect(checks.map(\.name) == ["disk", "flush", "recovery", "clock", "listeners", "memory"])
        for check in checks { #expect(check.state == .healthy, "\(check)") }
        let information = try Self.information(it)
        for check in checks { #expect(information["health.\(check.name)"]?.hasPrefix("healthy") == true) }
    }

    @Test("every refusal is counted by its code")
    func refusals() throws {
        let it = try BrokerConversation { configuration, _ in configuration.createsTopics = false }
        let client = it.connect()
        #expect(try client.produce("x", to: "nowhere").responseCode == .topicNotExist)
        #expect(try client.produce("x", to: "nowhere").responseCode == .topicNotExist)
        #expect(try client.ask(.pullMessage, TestClient.pullFields("nowhere")).responseCode == .topicNotExist)
        let information = try Self.information(it)
        #expect(information["refusals.\(ResponseCode.topicNotExist)"] == "3", "\(information)")
    }

    @Test("a store that has stopped is a failure of disk and flush, and the fault is counted by its operation")
    func stopped() throws {
        let it = try BrokerConversation { _, store in store.flushMode = .synchronous }
        try it.putTopic("T")
        it.disk.faults.failSynchronize = true
        let producer = it.connect()
        producer.send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        it.turn()
        it.advance(milliseconds: 100)
        #expect(it.failure != nil)
        #expect(try Self.check(it, "disk").state == .failed)
        let flush = try Self.check(it, "flush")
        #expect(flush.state == .failed && flush.text.contains("sync"), "\(flush.text)")
        #expect(it.broker.store.faults.counts.contains { $0.key.contains("sync") && $0.value > 0 })
        #expect(try Self.information(it)["health.disk"]?.hasPrefix("failed: the store has stopped") == true)
    }

    @Test("a disk that is too full is a failure until there is room again")
    func full() throws {
        let it = try BrokerConversation()
        try it.putTopic("T")
        try it.connect().produce("x", to: "T")
        let room = it.disk.capacity
        it.disk.capacity = it.disk.usedBytes * 20 / 19
        it.advance(milliseconds: 11_000)
        #expect(try Self.check(it, "disk").state == .failed)
        #expect(try it.connect().produce("x", to: "T").responseCode == .serviceNotAvailable)
        it.disk.capacity = room
        it.advance(milliseconds: 11_000)
        #expect(try Self.check(it, "disk").state == .healthy)
    }

    @Test("answers that wait too long for the disk are a finding")
    func slowFlush() throws {
        let it = try BrokerConversation { _, store in store.flushMode = .synchronous }
        try it.putTopic("T")
        it.turn()
        it.connect().send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        it.frontend.endTurn()
        it.clock.advance(milliseconds: 1_500)
        let check = try Self.check(it, "flush")
        #expect(check.state == .degraded && check.text.contains("oldest for 1500 ms"), "\(check.text)")
        it.turn()
        #expect(try Self.check(it, "flush").state == .healthy)
    }

    @Test("what the last start had to do is told")
    func recovery() throws {
        let it = try BrokerConversation()
        try it.putTopic("T")
        try it.connect().produce("x", to: "T")
        it.disk.crash(.processKill)
        let again = try BrokerConversation(disk: it.disk, clock: it.clock)
        let check = try Self.check(again, "recovery")
        #expect(check.text.contains("started after a crash"), "\(check.text)")
        #expect(try Self.check(it, "recovery").text.contains("a clean stop"))
    }

    @Test(
        "a clock that is set, forward or back, is noticed, with how far", arguments: [3_600_000, -3_600_000] as [Int64])
    func clock(_ jump: Int64) throws {
        let it = try BrokerConversation()
        it.advance(milliseconds: 1_000)
        #expect(try Self.check(it, "clock").state == .healthy)
        it.clock.setWallClock(Timestamp(milliseconds: it.clock.timestamp.milliseconds + jump))
        it.advance(milliseconds: 100)
        let check = try Self.check(it, "clock")
        #expect(check.state == .degraded)
        #expect(check.text.contains("\(jump) ms"), "\(check.text)")
        let information = try Self.information(it)
        #expect(information["clockJumps"] == "1")
        #expect(information["clockDriftMillis"] == "\(jump)")
    }
}
