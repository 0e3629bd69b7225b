import Base
import Model

/// The connection of a client, as far as groups need to know it.
public protocol ClientChannel: AnyObject {
    var peer: HostAddress { get }
    /// Tells the client that the members of one of its groups have changed. Best effort.
    func membersChanged(of group: String)
    /// Whether it takes more at present: it is open, and its peer reads.
    var isReachable: Bool { get }
    /// Asks the client, a producer, what became of a half message. It answers by ending the transaction, or not at all.
    func checkTransaction(_ check: TransactionCheck)
}

/// Who a client says it is.
public struct ClientIdentity: Equatable, Sendable {
    public var clientID: String
    /// The wire's number and name of the client's language.
    public var language: String
    public var version: Int32
    public init(clientID: String, language: String, version: Int32) {
        self.clientID = clientID
        self.language = language
        self.version = version
    }
}

/// What a heartbeat tells: the groups that the client produces and consumes for.
public struct Heartbeat: Sendable {
    public struct Consumer: Sendable {
        public var group: String
        public var consumeType: ConsumeType
        public var messageModel: MessageModel
        public var consumeFromWhere: ConsumeFromWhere
        public var subscriptions: [Subscription]
        public init(
            group: String, consumeType: ConsumeType, messageModel: MessageModel, consumeFromWhere: ConsumeFromWhere,
            subscriptions: [Subscription]
        ) {
            self.group = group
            self.consumeType = consumeType
            self.messageModel = messageModel
            self.consumeFromWhere = consumeFromWhere
            self.subscriptions = subscriptions
        }
    }
    public var identity: ClientIdentity
    public var producerGroups: [String]
    public var consumers: [Consumer]
    public init(identity: ClientIdentity, producerGroups: [String], consumers: [Consumer]) {
        self.identity = identity
        self.producerGroups = producerGroups
        self.consumers = consumers
    }
}
