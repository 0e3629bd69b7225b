import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// 34, 35, 38, 41, 42, 46: clients and their groups (remoting reference §1.9).
extension BrokerSession {
    func heartbeat(_ request: BrokerRequest) throws(Refusal) {
        let data: HeartbeatData = try body(request)
        guard !data.clientID.isEmpty else { throw Refusal(.systemError, "the heartbeat names no clientID") }
        let identity = ClientIdentity(
            clientID: data.clientID, language: header.language.name.description, version: header.version)
        let heartbeat = Heartbeat(
            identity: identity, producerGroups: data.producerGroups,
            consumers: data.consumers.map {
                Heartbeat.Consumer(
                    group: $0.groupName, consumeType: $0.consumeType, messageModel: $0.messageModel,
                    consumeFromWhere: $0.consumeFromWhere, subscriptions: $0.subscriptions)
            })
        isMember = true
        do throws(BrokerError) {
            try broker.heartbeat(heartbeat, on: self)
        } catch {
            throw refusal(error)
        }
        answer(request)
    }

    func unregisterClient(_ request: BrokerRequest) throws(Refusal) {
        let fields: UnregisterClientHeader = try fields(request)
        try call { () throws(BrokerError) in
            try broker.unregister(
                channel: self, producerGroup: fields.producerGroup, consumerGroup: fields.consumerGroup)
        }
        answer(request)
    }

    func getConsumerList(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetConsumerListByGroupHeader = try fields(request)
        guard let group = broker.members.consumerGroup(fields.consumerGroup), !group.members.isEmpty else {
            throw Refusal(.systemError, "no consumer for this group, \(fields.consumerGroup)")
        }
        answer(request, body: ConsumerIDList(clientIDs: group.members.map(\.identity.clientID)))
    }

    /// Tells a client whether its subscription will be served, before it relies on it.
    func checkClientConfiguration(_ request: BrokerRequest) throws(Refusal) {
        let data: CheckClientConfigBody = try body(request)
        let subscription = data.subscription
        // Tags are not looked at, as in RocketMQ: the hashes that count come with the heartbeat.
        guard !subscription.isByTags else { return answer(request) }
        let expression = Array(subscription.expression.utf8)
        let type = Array(subscription.expressionType.utf8)
        do throws(BrokerError) {
            _ = try broker.filter(expression: expression.span.bytes, type: type.span.bytes)
        } catch .subscriptionUnparsable(let error?) {
            throw Refusal(.subscriptionParseFailed, "Invalid MessageSelector. \(error)")
        } catch {
            throw refusal(error)
        }
        answer(request)
    }

    // MARK: - Queue locks

    func lockQueues(_ request: BrokerRequest) throws(Refusal) {
        let data: LockBatchBody = try body(request)
        let locked = try call { () throws(BrokerError) in
            try broker.lock(data.queues, group: data.consumerGroup, clientID: data.clientID)
        }
        // A lock that a crash forgets could be given to another while its owner still believes in it. Locks are rare enough to
        // wait for the medium in either flush mode.
        answerWhenFlushed(request, body: LockBatchResponseBody(lockedQueues: locked))
    }

    func unlockQueues(_ request: BrokerRequest) throws(Refusal) {
        let data: LockBatchBody = try body(request)
        try call { () throws(BrokerError) in
            try broker.unlock(data.queues, group: data.consumerGroup, clientID: data.clientID)
        }
        answer(request)
    }
}
