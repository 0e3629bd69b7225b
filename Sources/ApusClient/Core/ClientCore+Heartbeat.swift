import Base
import Model
import RemotingProtocol
import Telemetry

/// What brokers know of this client: its groups and subscriptions, told every 30 seconds and whenever they change.
extension ClientCore {
    func register(producerGroup: String) {
        producerGroups[producerGroup, default: 0] += 1
    }

    /// Leaves a producer group when its last producer does.
    func unregister(producerGroup: String) async {
        guard let count = producerGroups[producerGroup] else { return }
        producerGroups[producerGroup] = count > 1 ? count - 1 : nil
        guard count == 1 else { return }
        for address in announcedGroups.keys { announcedGroups[address]?.remove(producerGroup) }
        await tellAll(
            Request(
                .unregisterClient,
                UnregisterClientHeader(clientID: identity.clientID, producerGroup: producerGroup)))
    }

    /// Makes sure that a broker knows a producer group before it is asked for what it answers to the group's members only: checks
    /// of transactions, and replies.
    func announce(producerGroup: String, to address: String) async {
        if announcedGroups[address]?.contains(producerGroup) != true { await sendHeartbeat(to: address) }
    }

    /// Learns of every broker, also of those that no route in use leads to, and tells them of this client.
    func announceToAll(deadline: MonotonicTime) async throws(ClientError) {
        let info = try await callNameServer(Request(.getBrokerClusterInfo, json: ClusterInfo.self), deadline: deadline)
        for (name, broker) in info.brokers { brokers[name] = broker }
        await sendHeartbeats()
    }

    func register(_ consumer: PushConsumerCore, _ data: ConsumerData) throws(ClientError) {
        guard !isClosed else { throw .closed() }
        guard consumerCores[data.groupName] == nil || consumerCores[data.groupName] === consumer else {
            throw ClientError(
                .invalidArgument,
                "this client has a consumer of group \(data.groupName) already; use another client for a second member")
        }
        consumerCores[data.groupName] = consumer
        consumers[data.groupName] = data
    }

    func unregister(consumerGroup: String) async {
        guard consumerCores.removeValue(forKey: consumerGroup) != nil else { return }
        consumers[consumerGroup] = nil
        await tellAll(
            Request(
                .unregisterClient,
                UnregisterClientHeader(clientID: identity.clientID, consumerGroup: consumerGroup)))
    }

    // MARK: - Heartbeats

    /// Tells every broker that is known. Returns when each has answered or failed to.
    func sendHeartbeats() async {
        // Replicas need to know consumers only: nobody sends to them.
        let addresses = brokers.values.flatMap { broker in
            broker.addresses.filter { $0.key == 0 || !consumers.isEmpty }.map(\.value)
        }
        await withTaskGroup(of: Void.self) { group in
            for address in Set(addresses) { group.addTask { await self.sendHeartbeat(to: address) } }
        }
    }

    func sendHeartbeat(to address: String) async {
        guard !isClosed, !producerGroups.isEmpty || !consumers.isEmpty else { return }
        let data = HeartbeatData(
            clientID: identity.clientID,
            // Every RocketMQ client announces this group (remoting reference §1.9).
            producerGroups: producerGroups.keys.sorted() + [SystemGroups.clientInnerProducer],
            consumers: consumers.values.sorted { $0.groupName < $1.groupName })
        do throws(ClientError) {
            try await call(Request(.heartbeat, body: data.encoded()), to: address)
            announcedGroups[address] = Set(data.producerGroups)
        } catch {
            guard !isClosed else { return }
            log.info("heartbeat failed", ["broker": address, "reason": "\(error)"])
        }
    }

    /// Sends a request to every broker that is connected, within the time that a shutdown has.
    private func tellAll(_ request: Request<Void>) async {
        let addresses = peers.values.filter { $0.writable != nil && isBroker($0.address) }.map(\.address)
        let deadline = deadline(configuration.shutdownTimeout)
        await withTaskGroup(of: Void.self) { group in
            for address in addresses {
                group.addTask { _ = try? await self.call(request, to: address, deadline: deadline) }
            }
        }
    }
}
