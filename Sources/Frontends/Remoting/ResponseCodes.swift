import Base
import BrokerCore
import Model
import RemotingProtocol
import Storage

/// What a refusal is on the wire: RocketMQ's code and words (remoting reference §1.3, §1.9), in one table.
struct Refusal: Error {
    var code: ResponseCode
    var remark: String

    init(_ code: ResponseCode, _ remark: String) {
        self.code = code
        self.remark = remark
    }

    init(_ error: HeaderError) { self.init(.systemError, error.description) }
    init(_ error: BodyError) { self.init(.systemError, error.description) }

    static let faq = "See http://rocketmq.apache.org/docs/faq/ for further details."

    /// - Parameters:
    ///   - broker: the address that messages name.
    ///   - peer: who asked.
    init(_ error: BrokerError, broker: HostAddress, peer: HostAddress) {
        switch error {
        case .sendingForbidden: self.init(.noPermission, "the broker[\(broker.address)] sending message is forbidden")
        case .topicBlank: self.init(.systemError, "The specified topic is blank.")
        case .topicIllegalCharacters:
            self.init(
                .systemError, "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")
        case .topicTooLong: self.init(.systemError, "The specified topic is longer than topic max length.")
        case .topicIsSystem(let topic):
            self.init(.noPermission, "Sending message to topic[\(topic)] is forbidden.")
        case .topicUnknown(let topic):
            self.init(.topicNotExist, "topic[\(topic)] not exist, apply first please!\n\(Self.faq)")
        case .topicNotWritable(let topic):
            self.init(.noPermission, "the topic[\(topic)] sending message is forbidden")
        case .topicNotReadable(let topic):
            self.init(.noPermission, "the topic[\(topic)] pulling message is forbidden")
        case .topicReserved(let topic):
            self.init(.systemError, "The topic[\(topic)] is conflict with system reserved words.")
        case .queueIllegal(let queueID, let topic):
            self.init(.systemError, "request queueId[\(queueID)] is illegal, \(Self.text(topic)) Producer: \(peer)")
        case .messageTooLarge(let maximum):
            self.init(
                .messageIllegal,
                "the message is illegal, maybe msg body or properties length not matched. "
                    + "msg body length limit \(maximum)B, msg properties length limit 32KB.")
        case .batchIllegal(let reason): self.init(.messageIllegal, reason)
        case .messageUnknown(let offset): self.init(.systemError, "look message by offset failed, \(offset)")
        case .unsupported(let what): self.init(.messageIllegal, what)
        case .invalid(let reason): self.init(.systemError, reason)
        case .pullingForbidden: self.init(.noPermission, "the broker[\(broker.address)] pulling message is forbidden")
        case .groupUnknown(let group):
            self.init(.subscriptionGroupNotExist, "subscription group [\(group)] does not exist, \(Self.faq)")
        case .groupDisabled(let group):
            self.init(.noPermission, "subscription group no permission, \(group)")
        case .groupOffline: self.init(.subscriptionNotExist, "the consumer's group info not exist\n\(Self.faq)")
        case .broadcastForbidden(let group):
            self.init(
                .noPermission, "the consumer group[\(group)] can not consume by broadcast way")
        case .subscriptionUnknown:
            self.init(.subscriptionNotExist, "the consumer's subscription not exist\n\(Self.faq)")
        case .subscriptionOld: self.init(.subscriptionNotLatest, "the consumer's subscription not latest")
        case .transaction(let error): self.init(.systemError, Self.text(error))
        case .transactionsForbidden:
            self.init(.noPermission, "the broker[\(broker.address)] sending transaction message is forbidden")
        case .subscriptionUnparsable(let error):
            self.init(
                .subscriptionParseFailed, "parse the consumer's subscription failed" + Self.detail(error))
        case .selectorMissing(let error):
            self.init(
                .filterDataNotExist,
                "The broker's consumer filter data is not exist!Your expression may be wrong!" + Self.detail(error))
        case .selectorOld: self.init(.filterDataNotLatest, "the consumer's consumer filter data not latest")
        case .filterTypeDisabled(let type):
            self.init(.systemError, "The broker does not support consumer to filter message by \(type)")
        case .limitReached(let what, let maximum):
            self.init(.systemBusy, "system busy: this broker keeps at most \(maximum) \(what)")
        case .quotaExceeded(let topic):
            // 4.9's producers try code 1 again, and not 2 (remoting reference §1.3).
            self.init(
                .systemError,
                "[QUOTA]broker busy, start flow control for a while: topic[\(topic)] or client[\(peer.address)] "
                    + "is over its quota")
        case .storage(let error): self.init(error)
        case .refusesMessages: self.init(.serviceNotAvailable, Self.notAvailable("the disk is too full or has failed"))
        }
    }

    init(_ error: StorageError) {
        switch error {
        case .diskFull: self.init(.serviceNotAvailable, Self.notAvailable("the broker's disk is full"))
        case .stopped, .locked: self.init(.serviceNotAvailable, Self.notAvailable("message store has been shut down"))
        case .recordTooLarge(let size, let maximum):
            self.init(.messageIllegal, "the message is illegal: a record of \(size) bytes is larger than \(maximum)")
        case .disk, .corrupt: self.init(.systemError, error.description)
        }
    }

    private static func text(_ error: TransactionError) -> String {
        switch error {
        case .notFound: "Find prepared transaction message failed"
        case .groupWrong: "The producer group wrong"
        case .queueOffsetWrong: "The transaction state table offset wrong"
        case .commitLogOffsetWrong: "The commit log offset wrong"
        case .otherMessage: "The prepared message is another one than msgId says"
        case .ended: "The transaction has been ended before"
        case .withoutDestination: "The prepared message does not say its topic and queue"
        }
    }

    /// What is wrong with an expression, behind RocketMQ's words.
    private static func detail(_ error: SelectorError?) -> String { error.map { " (\($0))" } ?? "" }

    private static func notAvailable(_ reason: String) -> String {
        "service not available now. It may be caused by one of the following reasons: the broker's disk is full, messages are "
            + "put to the slave, message store has been shut down, etc. Here: \(reason)"
    }

    /// As Java prints a TopicConfig.
    private static func text(_ topic: TopicConfiguration) -> String {
        "TopicConfig [topicName=\(topic.name), readQueueNums=\(topic.readQueueCount), "
            + "writeQueueNums=\(topic.writeQueueCount), perm=\(topic.permission), "
            + "topicFilterType=\(topic.filterType.rawValue), topicSysFlag=\(topic.systemFlag), order=\(topic.isOrdered)]"
    }
}
