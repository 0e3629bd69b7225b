import Model
import NameService

/// What a broker has to tell name servers about itself. The closures are asked on the registrar's loop, whenever something is
/// to be sent.
public struct RegisteredBroker {
    public var identity: BrokerIdentity
    /// Where slaves replicate from: `host:port`.
    public var haAddress: String
    /// Differs after every change of the topics. Cheap.
    public var dataVersion: () -> DataVersion
    /// All topics, with the permissions that clients shall see.
    public var topics: () -> [TopicConfiguration]

    public init(
        identity: BrokerIdentity, haAddress: String, dataVersion: @escaping () -> DataVersion,
        topics: @escaping () -> [TopicConfiguration]
    ) {
        self.identity = identity
        self.haAddress = haAddress
        self.dataVersion = dataVersion
        self.topics = topics
    }
}
