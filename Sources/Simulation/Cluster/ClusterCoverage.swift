import BrokerCore
import Storage

/// What happened in simulated clusters, so that one can see that something did.
public struct ClusterCoverage: Sendable, CustomStringConvertible {
    public var messages = 0
    public var acknowledged = 0
    public var delayed = 0
    public var halves = 0
    public var checks = 0
    public var questions = 0
    public var replies = 0
    public var broadcasts = 0
    public var quotaRefusals = 0
    public var quotaWaits = 0
    public var expired = 0
    public var deadLettersExpired = 0
    public var crowdedDisks = 0
    public var pauses = 0
    public var recalls = 0
    public var deliveries = 0
    public var reads = 0
    public var returns = 0
    public var commits = 0
    public var locks = 0
    public var topicChanges = 0
    public var refusals = 0
    public var pullsRefused = 0
    public var timeouts = 0
    public var offsetsMoved = 0
    public var kills = 0
    public var powerLosses = 0
    public var deathsInCalls = 0
    public var failedStarts = 0
    public var storeFailures = 0
    public var fullDisks = 0
    public var leaps = 0
    public var partitions = 0
    public var clientDeaths = 0
    public var damageReported = 0
    public var placesCut = 0
    public var acknowledgementsLost = 0
    public var receivedAndLost = 0
    public var segmentsRemoved = 0
    public var checkpoints = 0
    public var segments = 0
    public var resets = 0

    public init() {}

    mutating func add(_ broker: Broker) {
        let store = broker.store
        quotaWaits += Int(broker.metrics.quotaWaits)
        segmentsRemoved += Int(store.metrics.segmentsRemoved)
        checkpoints += Int(store.metrics.checkpoints)
    }

    private static let parts: [(String, any WritableKeyPath<ClusterCoverage, Int> & Sendable)] = [
        ("messages", \.messages), ("acknowledged", \.acknowledged), ("delayed", \.delayed), ("halves", \.halves),
        ("checks", \.checks), ("recalls", \.recalls), ("deliveries", \.deliveries), ("reads", \.reads),
        ("returns", \.returns), ("questions", \.questions),
        ("replies", \.replies), ("broadcasts", \.broadcasts), ("quota refusals", \.quotaRefusals),
        ("quota waits", \.quotaWaits), ("expired", \.expired), ("dead letters expired", \.deadLettersExpired),
        ("crowded disks", \.crowdedDisks), ("pauses", \.pauses), ("commits", \.commits), ("locks", \.locks),
        ("topic changes", \.topicChanges),
        ("refusals", \.refusals), ("pulls refused", \.pullsRefused), ("timeouts", \.timeouts),
        ("offsets moved", \.offsetsMoved), ("kills", \.kills), ("power losses", \.powerLosses),
        ("deaths in calls", \.deathsInCalls), ("failed starts", \.failedStarts), ("store failures", \.storeFailures),
        ("full disks", \.fullDisks), ("leaps", \.leaps), ("partitions", \.partitions),
        ("client deaths", \.clientDeaths), ("damage reported", \.damageReported), ("places cut", \.placesCut),
        ("acknowledgements lost", \.acknowledgementsLost), ("received and lost", \.receivedAndLost),
        ("segments removed", \.segmentsRemoved),
        ("checkpoints", \.checkpoints),
        ("network segments", \.segments), ("resets", \.resets),
    ]

    public mutating func add(_ other: ClusterCoverage) {
        for (_, path) in Self.parts { self[keyPath: path] += other[keyPath: path] }
    }

    public var description: String { Self.parts.map { "\($0.0) \(self[keyPath: $0.1])" }.joined(separator: ", ") }
}
