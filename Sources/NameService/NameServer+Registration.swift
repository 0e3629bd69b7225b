import Base
import Model
import Telemetry

extension NameServer {
    // MARK: - Register

    /// Registers a broker, or renews its registration. It counts as heard now.
    ///
    /// The topics of a master are added to the routes when its data version is not the one known for its address (older or
    /// newer alike), and when it is new under its name and id. Topics that it no longer names stay until
    /// ``deleteTopic(_:)``. Those of a slave are never read: its master's count.
    ///
    /// - Parameter topics: gives the broker's topics. Called at most once, only when they are needed, and before anything
    ///   changes: when it throws, the registration did not happen.
    /// - Parameter failure: makes the error that is thrown of one of this name server's own:
    ///   ``NameServerError/limitReached(_:_:)``, ``NameServerError/nameTooLong(_:)``.
    /// - Complexity: O(1) when the topics are not needed, else O(topics of the broker).
    public func register<Failure: Error>(
        _ registration: BrokerRegistration, failure: (NameServerError) -> Failure,
        topics: () throws(Failure) -> [TopicConfiguration]
    ) throws(Failure) -> RegistrationReply {
        let identity = registration.identity
        let oldAddress = routes.address(of: identity.name, id: identity.id)
        let isNew = oldAddress != identity.address
        let known = live[identity.address].flatMap { $0.identity.name == identity.name ? $0 : nil }
        let isDue = isNew || known?.dataVersion != registration.dataVersion
        if let refusal = refusal(of: registration, isNew: isNew) { throw failure(refusal) }
        let changed = identity.isMaster && isDue ? try topics() : nil
        if let changed, let refusal = refusal(of: changed, on: identity.name) { throw failure(refusal) }

        counts.registrations += 1
        evictOthers(than: identity, oldAddress: oldAddress)
        routes.setAddress(identity)
        live.set(
            LiveBrokers.Entry(
                identity: identity, haAddress: registration.haAddress, dataVersion: registration.dataVersion,
                connection: registration.connection, lastHeard: clock.monotonic,
                filterServers: registration.filterServers ?? known?.filterServers ?? []))
        if let changed { readTopics(changed, of: identity) }
        if isNew { logNewBroker(identity, oldAddress: oldAddress) }
        return reply(to: identity)
    }

    private func refusal(of registration: BrokerRegistration, isNew: Bool) -> NameServerError? {
        let identity = registration.identity
        for (name, what) in [
            (identity.name, "the broker's name"), (identity.cluster, "the cluster's name"),
            (identity.address, "the address"), (registration.haAddress, "the HA address"),
        ] where name.utf8.count > Limits.nameLengthMaximum { return .nameTooLong(what) }
        if isNew, live.entries.count >= configuration.brokersMaximum {
            return limitReached("brokers", configuration.brokersMaximum)
        }
        if registration.filterServers?.count ?? 0 > Limits.filterServersMaximum {
            return limitReached("filter servers of a broker", Limits.filterServersMaximum)
        }
        return nil
    }

    private func refusal(of topics: [TopicConfiguration], on name: String) -> NameServerError? {
        if topics.contains(where: { $0.name.utf8.count > Limits.nameLengthMaximum }) {
            return .nameTooLong("the name of a topic")
        }
        guard routes.entryCount + routes.growth(of: topics, on: name) <= configuration.routeEntriesMaximum else {
            return limitReached("topics on brokers", configuration.routeEntriesMaximum)
        }
        return nil
    }

    /// Drops whoever else has this address, and whoever else had this name and id.
    private func evictOthers(than identity: BrokerIdentity, oldAddress: String?) {
        if let holder = live[identity.address]?.identity, holder.name != identity.name {
            log.warning(
                "address taken over by another broker",
                ["address": identity.address, "from": holder.description, "by": identity.description])
            _ = routes.removeAddress(holder.address, of: holder.name)
        }
        if let oldAddress, oldAddress != identity.address { live.remove(oldAddress) }
    }

    private func readTopics(_ topics: [TopicConfiguration], of identity: BrokerIdentity) {
        counts.topicTableReads += 1
        let before = routes.topics.count
        routes.setQueues(of: topics, on: identity.name)
        let added = routes.topics.count - before
        guard added > 0 else { return }
        log.info("new topics registered", ["broker": identity.description, "count": String(added)])
    }

    private func logNewBroker(_ identity: BrokerIdentity, oldAddress: String?) {
        if let oldAddress {
            log.warning("broker address changed", ["broker": identity.description, "from": oldAddress])
        } else {
            log.info("new broker registered", ["broker": identity.description])
        }
        if let cluster = routes.brokers[identity.name]?.cluster, cluster != identity.cluster {
            log.warning(
                "broker name is used in two clusters", ["broker": identity.description, "other": cluster])
        }
    }

    private func reply(to identity: BrokerIdentity) -> RegistrationReply {
        var reply = RegistrationReply(orderConfiguration: kvConfig.values(in: KVConfig.orderNamespace))
        if !identity.isMaster, let master = routes.address(of: identity.name, id: BrokerIdentity.masterID) {
            reply.masterAddress = master
            reply.haAddress = live[master]?.haAddress
        }
        return reply
    }

    // MARK: - Data version

    /// Compares a broker's data version with the one it registered last. An unchanged one counts as hearing from the broker, so
    /// that it need not register in full.
    /// - Returns: whether a registration is due, and the version known for the address, if any.
    public func checkDataVersion(
        _ version: DataVersion, ofBrokerAt address: String
    ) -> (isChanged: Bool, known: DataVersion?) {
        let known = live[address]?.dataVersion
        guard known == version else { return (true, known) }
        live.touch(address, at: clock.monotonic)
        return (false, known)
    }

    // MARK: - Leave

    /// Removes a broker that says goodbye. One that is not known, or whose name and id have another address now, changes
    /// nothing.
    public func unregister(_ identity: BrokerIdentity) {
        guard let holder = live[identity.address]?.identity, holder.name == identity.name else { return }
        drop(identity.address, why: "unregistered")
    }

    /// Removes the brokers that registered over a connection which is gone.
    public func connectionClosed(_ connection: ConnectionToken) {
        for address in live.addresses[connection] ?? [] {
            counts.brokersDisconnected += 1
            drop(address, why: "connection closed")
        }
    }

    /// Removes the brokers that were silent for longer than ``NameServerConfiguration/brokerExpiryMilliseconds``. Call it every
    /// few seconds.
    /// - Returns: the connections of those brokers, to be closed.
    public func expire() -> Set<ConnectionToken> {
        let limit = configuration.brokerExpiryMilliseconds
        let now = clock.monotonic
        let silent = live.entries.values.filter { $0.lastHeard.advanced(byMilliseconds: limit) < now }
        for entry in silent {
            counts.brokersExpired += 1
            drop(entry.identity.address, why: "silent for too long")
        }
        return Set(silent.map(\.connection))
    }

    private func drop(_ address: String, why: String) {
        guard let entry = live.remove(address) else { return }
        let topics = routes.removeAddress(address, of: entry.identity.name)
        log.notice(
            "broker removed",
            ["broker": entry.identity.description, "reason": why, "topics without queues there": String(topics)])
    }
}
