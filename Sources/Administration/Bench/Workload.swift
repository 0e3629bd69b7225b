import RemotingProtocol
import Runtime

/// What one benchmark does: every choice of the command line, checked and in plain units.
struct Workload: Sendable, Equatable {
    enum Kind: String, Sendable { case produce, consume, endToEnd = "e2e" }
    /// When the measured part ends.
    enum End: Sendable, Equatable {
        case nanoseconds(Int64)
        /// Messages acknowledged (or, for a consumer alone, received) since the warm-up.
        case messages(Int)
        /// A consumer has seen the end of every queue.
        case caughtUp
    }
    /// The properties of each message.
    enum Properties: String, Sendable, CaseIterable {
        case none
        /// `UNIQ_KEY` and `WAIT`, which RocketMQ's own clients always send.
        case client
        /// `KEYS` and `TAGS` too.
        case full
    }
    /// Where a consumer begins.
    enum Start: String, Sendable, CaseIterable { case first, last, committed }
    /// How a broker learns what a pull filters by.
    enum SubscriptionSource: String, Sendable, CaseIterable { case header, heartbeat }

    var kind = Kind.produce
    var encoding = HeaderEncoding.json
    /// How to speak TLS; nil speaks plainly.
    var tls: TLSContext?
    /// Who signs the requests; nil signs none.
    var credentials: Credentials?
    var threads = 1
    var end = End.nanoseconds(10_000_000_000)
    var warmUpNanoseconds: Int64 = 0
    /// How long a request may stay without its answer.
    var timeoutMilliseconds: Int64 = 5000
    var verifies = true

    // Where messages go.
    var topic = "apus_bench"
    var topicCount = 1
    /// Queues of each topic on each broker; of topics that exist the name server knows better.
    var queueCount = 4

    // Producers.
    var producerConnections = 1
    /// Unanswered sends of one connection.
    var inFlight = 64
    var bodySize = 1024
    /// Messages of one send; more than 1 sends batches (320).
    var batchSize = 1
    /// Messages per second over all connections; nil sends as fast as answers come.
    var rate: Double?
    var properties = Properties.client
    /// Sends are half messages, each of them committed one-way when its answer is there.
    var isTransactional = false
    var producerGroup = "apus_bench_producers"
    /// Messages are to be delivered so long after they were sent, in ms, and at random up to the spread later; nil sends ordinary ones.
    var delayMilliseconds: Int64?
    var delaySpreadMilliseconds: Int64 = 0

    // Consumers.
    var consumerConnections = 1
    /// Messages that one pull asks for.
    var pullSize = 32
    /// How long the broker may hold a pull that finds nothing.
    var longPollMilliseconds: Int64 = 15_000
    var start = Start.first
    var subscription = SubscriptionSource.header
    var commits = false
    var consumerGroup = "apus_bench_consumers"

    /// Signs for one connection, or one thread.
    var signer: RequestSigner? { credentials.flatMap { RequestSigner($0) } }

    var produces: Bool { kind != .consume }
    var consumes: Bool { kind != .produce }

    /// Names of the topics. Several have a number of fixed width behind the name, so that frames of one length serve all.
    func topicName(_ index: Int) -> String {
        guard topicCount > 1 else { return topic }
        let digits = String(index)
        return topic + "_" + String(repeating: "0", count: topicDigits - digits.count) + digits
    }

    /// Digits behind the name of each topic; 0 for a single topic.
    var topicDigits: Int { topicCount > 1 ? String(topicCount - 1).count : 0 }
}

/// The broker that some connections talk to, and the queues that it has of the topics.
struct BrokerTarget: Sendable, Equatable {
    var name: String
    var host: String
    var port: Int
    /// Topics alternate fastest, so that going round robin over this list changes the topic with every message.
    var queues: [QueueReference]
}

/// One queue of one topic, by numbers.
struct QueueReference: Sendable, Equatable {
    var topic: Int32
    var queueID: Int32
}
