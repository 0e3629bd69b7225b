import Base
import BrokerCore
import Model
import RemotingProtocol

/// 200, 201, 207: the settings of consumer groups.
extension BrokerSession {
    func putGroup(_ request: BrokerRequest) throws(Refusal) {
        let group: GroupConfiguration = try body(request)
        do throws(BrokerError) {
            try broker.putGroup(group)
        } catch {
            throw refusal(error)
        }
        answer(request)
    }

    func getAllGroups(_ request: BrokerRequest) {
        answer(request, body: SubscriptionGroupWrapper(dataVersion: broker.groupVersion, groups: broker.groups))
    }

    func deleteGroup(_ request: BrokerRequest) throws(Refusal) {
        let fields: DeleteSubscriptionGroupHeader = try fields(request)
        do throws(BrokerError) {
            try broker.removeGroup(fields.groupName, removesOffsets: fields.isOffsetRemoved)
        } catch {
            throw refusal(error)
        }
        answer(request)
    }
}
