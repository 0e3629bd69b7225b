import RemotingProtocol

/// Accounts of access control: requests 50 to 54, which need an administrator's ``ClientConfiguration/credentials``. Secrets
/// cross the network as they are: use TLS.
extension ClusterAdministration {
    /// Accounts and trusted addresses of a broker, without secrets (54).
    /// - Throws: also from RocketMQ 4.9.8 and 5.2 on, which do not know the request any more.
    public func accessConfig(ofBroker address: String, timeout: Duration? = nil) async throws(ClientError) -> AclConfig
    {
        try await core.call(Request(.getBrokerClusterACLConfig, json: AclConfig.self), to: address, timeout: timeout)
    }

    /// Makes an account, or changes what `account` says of it, on every master (50). It holds, and is durable, on return.
    /// - Parameter broker: the only broker to change, as `host:port`; nil means every master of the cluster.
    public func putAccount(
        _ account: UpdateAccessConfigHeader, inCluster cluster: String? = nil, onBroker broker: String? = nil,
        timeout: Duration? = nil
    ) async throws(ClientError) {
        for address in try await targets(cluster, broker, timeout) {
            try await core.call(Request(.updateAndCreateACLConfig, account), to: address, timeout: timeout)
        }
    }

    /// Deletes an account on every master (51). What it signs is refused on return.
    public func deleteAccount(
        _ accessKey: String, inCluster cluster: String? = nil, onBroker broker: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) {
        let header = DeleteAccessConfigHeader(accessKey: accessKey)
        for address in try await targets(cluster, broker, timeout) {
            try await core.call(Request(.deleteACLConfig, header), to: address, timeout: timeout)
        }
    }

    /// Sets the addresses that are asked for no signature, on every master (53).
    /// - Parameter patterns: all of them; none trusts nobody.
    public func setTrustedAddresses(
        _ patterns: [String], inCluster cluster: String? = nil, onBroker broker: String? = nil,
        timeout: Duration? = nil
    ) async throws(ClientError) {
        let header = UpdateGlobalWhiteAddressesHeader(globalWhiteAddresses: patterns.joined(separator: ","))
        for address in try await targets(cluster, broker, timeout) {
            try await core.call(Request(.updateGlobalWhiteAddressesConfig, header), to: address, timeout: timeout)
        }
    }
}
