import Base
import BrokerCore
import Model
import RemotingProtocol

/// 203, 204, 328: who is connected.
extension BrokerSession {
    /// 203 `GET_CONSUMER_CONNECTION_LIST`.
    func getConsumerConnections(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetConsumerConnectionListHeader = try fields(request)
        guard let group = broker.members.consumerGroup(fields.consumerGroup), !group.members.isEmpty else {
            throw Refusal(.consumerNotOnline, "the consumer group[\(fields.consumerGroup)] not online")
        }
        answer(
            request,
            body: ConsumerConnection(
                connections: group.members.map(Self.connection), subscriptions: group.allSubscriptions,
                consumeType: group.consumeType, messageModel: group.messageModel,
                consumeFromWhere: group.consumeFromWhere,
                disagreements: group.disagreements.map {
                    MemberDisagreement(clientID: $0.clientID, differences: $0.differences)
                }))
    }

    /// 204 `GET_PRODUCER_CONNECTION_LIST`.
    func getProducerConnections(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetProducerConnectionListHeader = try fields(request)
        guard let group = broker.members.producerGroup(fields.producerGroup) else {
            throw Refusal(.systemError, "the producer group[\(fields.producerGroup)] not exist")
        }
        answer(request, body: ProducerConnection(connections: group.members.map(Self.connection)))
    }

    /// 328 `GET_ALL_PRODUCER_INFO`.
    func getAllProducers(_ request: BrokerRequest) {
        var table = ProducerTableInfo(groups: [:])
        for group in broker.members.allProducerGroups {
            table.groups[group.name] = group.members.map { member in
                ProducerTableInfo.Producer(
                    clientID: member.identity.clientID, remoteAddress: "/\(member.channel.peer)",
                    language: LanguageCode(name: member.identity.language), version: member.identity.version,
                    lastUpdateTimestamp: member.lastSeen)
            }
        }
        answer(request, body: table)
    }

    private static func connection(_ member: Membership.Member) -> ClientConnection {
        ClientConnection(
            clientID: member.identity.clientID, address: member.channel.peer.description,
            language: LanguageCode(name: member.identity.language), version: member.identity.version)
    }
}
