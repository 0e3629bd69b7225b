import Base
import Model
import Simulation
import Testing

@testable import BrokerCore

@Suite("Quotas of topics, groups and clients")
struct QuotaStateTests {
    private static let quota = TrafficQuota(
        send: TrafficRate(messages: 5, bytes: 1_000), pull: TrafficRate(messages: TrafficRate.unlimited, bytes: 7))

    @Test(
        "they survive a stop, a kill, and a loss of power once flushed",
        arguments: [RetryPolicy.ladder, .list([1, 2])])
    func durable(_ policy: RetryPolicy) throws {
        let it = try TestBroker()
        var topic = TopicConfiguration(name: "T")
        topic.quota = Self.quota
        var group = GroupConfiguration(name: "G")
        group.quota = Self.quota
        group.retryPolicy = policy
        try it.broker.putTopic(topic)
        try it.broker.putGroup(group)
        try it.broker.putTopic(TopicConfiguration(name: "U"))
        try it.broker.putGroup(GroupConfiguration(name: "H"))
        try it.flush()
        for again in [it.losePower, it.kill, it.restart] {
            try again()
            #expect(it.broker.topic("T")?.configuration == topic)
            #expect(it.broker.group("G") == group)
            #expect(it.broker.topic("U")?.configuration.quota == .byDefault)
            #expect(it.broker.group("H")?.quota == .byDefault)
            #expect(it.broker.hasQuotas)
            #expect(it.broker.topic("T")?.sendLimit != nil)
        }
    }

    @Test(
        "without any, nothing is looked at; the configuration's are for what has none of its own, but not for the system's"
    )
    func defaults() throws {
        let it = try TestBroker()
        try it.broker.putTopic(TopicConfiguration(name: "T"))
        try it.broker.putGroup(GroupConfiguration(name: "G"))
        #expect(!it.broker.hasQuotas)
        #expect(it.broker.quotaConnected(.loopback(port: 1)) == nil)
        it.configuration.quotas.topic.send.messages = 10
        it.configuration.quotas.group.bytes = 10
        try it.restart()
        #expect(it.broker.hasQuotas)
        #expect(it.broker.topic("T")?.sendLimit != nil)
        #expect(it.broker.topic("T")?.pullLimit == nil)
        #expect(it.broker.state.groups.pullLimit(Array("G".utf8).span.bytes) != nil)
        #expect(it.broker.topic(SystemTopics.benchmark)?.sendLimit == nil)
        var free = TopicConfiguration(name: "T")
        free.quota.send.messages = TrafficRate.unlimited
        try it.broker.putTopic(free)
        #expect(it.broker.topic("T")?.sendLimit == nil)
    }

    @Test("a client's connections share one limit, which it finds again until it owes nothing; then it is forgotten")
    func clients() throws {
        let it = try TestBroker { $0.quotas.client.send.messages = 10 }
        let one = try #require(it.broker.quotaConnected(.loopback(port: 1)))
        let two = try #require(it.broker.quotaConnected(.loopback(port: 2)))
        #expect(one === two)
        #expect(it.broker.quotaConnected(HostAddress(ipv4: 5, port: 1)) !== one)
        var request = QuotaRequest(topic: nil, client: one.send, messages: 10, bytes: 0)
        #expect(it.broker.ask(&request) == 0)
        it.broker.quotaDisconnected(one)
        it.broker.quotaDisconnected(two)
        it.broker.state.quotas.expire(now: it.clock.monotonic)
        #expect(it.broker.quotaConnected(.loopback(port: 3)) === one)
        it.broker.quotaDisconnected(one)
        it.clock.advance(milliseconds: 1_000)
        it.broker.state.quotas.expire(now: it.clock.monotonic)
        #expect(it.broker.state.quotas.clientCount == 1, "the other address is still connected")
    }

    @Test(
        "attributes of a request set and take away single rates, and say which they do not understand",
        arguments: [
            ("+quota.send.messages=9", nil), ("-quota.send.messages,+quota.pull.bytes=-1", nil), ("", nil),
            ("+quota.send.messages=x", "+quota.send.messages=x"), ("+delete.policy=none", "+delete.policy=none"),
            ("quota.send.bytes=1", "quota.send.bytes=1"), ("+quota.send.bytes=-2", "+quota.send.bytes=-2"),
            ("+quota.send.bytes=4000000001", "+quota.send.bytes=4000000001"),
        ] as [(String, String?)])
    func attributes(_ text: String, _ unknown: String?) {
        var quota = Self.quota
        #expect(quota.apply(attributes: text) == unknown)
        var copy = TrafficQuota(send: TrafficRate(messages: 1, bytes: 1), pull: TrafficRate(messages: 1, bytes: 1))
        #expect(copy.apply(attributes: quota.attributeText) == nil)
        #expect(copy == quota)
    }
}
