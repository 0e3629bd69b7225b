import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Runtime

/// What each request needs (remoting reference §1.12), as RocketMQ 4.9 has it, plus what it forgets:
///
///     request                             topic                        group
///     10, 310, 320*, 324*, 325*, 370*     publish                      –
///     11, 361*                            subscribe                    subscribe
///     12                                  subscribe                    –
///     15                                  subscribe                    subscribe
///     34                                  subscribe, of each           subscribe, of each
///     35, 36, 38                          –                            subscribe
///     administrative                      an administrator's account
///     any other                           a valid signature
///
/// Those with a star need no more than a signature in 4.9. A topic `%RETRY%group` stands for the group, for sends too.
extension BrokerSession {
    /// - Throws: when the request is not to be handled. Not called for connections of this machine without access control.
    func authorize(_ request: BrokerRequest) throws(Refusal) {
        let guardian = frontend.requestGuard
        guard guardian.controlsAccess else {
            guard header.requestCode.isAdministrative, !createsOrdinaryTopic(request) else { return }
            throw guardian.remoteAdministration(header, peer)
        }
        let input = request.input
        let span = input.bytes
        guard let account = try guardian.account(of: header, body: request.body, in: span, peer: peer) else { return }
        switch header.requestCode {
        case .sendMessage, .sendMessageV2, .sendBatchMessage, .sendReplyMessage, .sendReplyMessageV2:
            try require(.publish, "b", of: account, in: span)
            try require(.publish, "topic", of: account, in: span)
        case .recallMessage: try require(.publish, "topic", of: account, in: span)
        case .pullMessage, .litePullMessage, .updateConsumerOffset:
            try require(.subscribe, "topic", of: account, in: span)
            try requireGroup("consumerGroup", of: account, in: span)
        case .queryMessage: try require(.subscribe, "topic", of: account, in: span)
        case .consumerSendMessageBack: try requireGroup("group", of: account, in: span)
        case .unregisterClient, .getConsumerListByGroup: try requireGroup("consumerGroup", of: account, in: span)
        case .heartbeat: try requireSubscriptions(request, of: account)
        default:
            if header.requestCode.isAdministrative { try guardian.requireAdministrator(account, header, peer) }
        }
    }

    // MARK: - Topics and groups

    /// Every value of a field that comes more than once must be allowed, whichever of them counts.
    private func require(
        _ needed: AccessPermissions, _ name: StaticString, of account: AccessAccount, in span: RawSpan
    ) throws(Refusal) {
        for field in header.fields where span.extracting(field.key).equals(name) {
            try require(needed, topic: span.extracting(field.value), of: account)
        }
    }

    private func require(
        _ needed: AccessPermissions, topic: RawSpan, of account: AccessAccount
    ) throws(Refusal) {
        let prefix = SystemTopics.retryPrefix.utf8.count
        if topic.starts(with: "%RETRY%") {
            return try requireGroup(topic.extracting(prefix..<topic.byteCount), of: account)
        }
        guard !account.allows(needed, topic: topic) else { return }
        throw refused("topic:" + topic.string(), account)
    }

    private func requireGroup(
        _ name: StaticString, of account: AccessAccount, in span: RawSpan
    ) throws(Refusal) {
        for field in header.fields where span.extracting(field.key).equals(name) {
            try requireGroup(span.extracting(field.value), of: account)
        }
    }

    private func requireGroup(_ group: RawSpan, of account: AccessAccount) throws(Refusal) {
        guard !account.allowsSubscription(group: group) else { return }
        throw refused("group:" + group.string(), account)
    }

    private func requireSubscriptions(_ request: BrokerRequest, of account: AccessAccount) throws(Refusal) {
        let data: HeartbeatData = try body(request)
        for consumer in data.consumers {
            let group = Array(consumer.groupName.utf8)
            try requireGroup(group.span.bytes, of: account)
            for subscription in consumer.subscriptions {
                let topic = Array(subscription.topic.utf8)
                try require(.subscribe, topic: topic.span.bytes, of: account)
            }
        }
    }

    private func refused(_ what: String, _ account: AccessAccount) -> Refusal {
        frontend.requestGuard.refused(
            .permission, header, peer, accessKey: account.accessKey, "No default permission for \(what)")
    }

    // MARK: - Figures

    /// What was refused, in the answer to 28. Names of our own.
    func addRefusals(to table: inout [String: String]) {
        let counters = frontend.requestGuard.counters
        table["signaturesRefused"] = String(counters.signaturesRefused)
        table["permissionsRefused"] = String(counters.permissionsRefused)
        table["administrationRefused"] = String(counters.administrationRefused)
        guard let tls = frontend.tls else { return }
        table["tlsHandshakes"] = String(tls.established)
        table["tlsHandshakesFailed"] = String(tls.failed)
        table["tlsConnectionsRefused"] = String(tls.refused)
        table["tlsHandshakesRefused"] = String(tls.handshakesRefused)
        table["tlsHandshakesDelayed"] = String(tls.handshakesDelayed)
    }

    // MARK: - Without access control

    /// Whether 17 makes a topic that a send would make as well: brokers of a cluster tell each other of those.
    private func createsOrdinaryTopic(_ request: BrokerRequest) -> Bool {
        let configuration = broker.configuration
        let input = request.input
        guard header.requestCode == .updateAndCreateTopic, configuration.createsTopics,
            let fields = try? CreateTopicHeader(header, in: input.bytes), broker.topic(fields.topic) == nil
        else { return false }
        let queues = 1...configuration.defaultTopicQueueCount
        return queues.contains(fields.readQueueCount) && queues.contains(fields.writeQueueCount)
            && fields.permission == [.read, .write] && !fields.isOrdered
    }
}
