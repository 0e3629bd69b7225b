import Base
import Model

/// The settings of the consumer groups of a broker.
final class GroupTable {
    private var groups: [String: GroupConfiguration] = [:]
    private(set) var version = DataVersion()
    private let quotas: Quotas
    /// What members may still pull, for groups with a limit.
    private var pullLimits: [String: TrafficLimit] = [:]

    init(quotas: Quotas) { self.quotas = quotas }

    var count: Int { groups.count }
    subscript(name: String) -> GroupConfiguration? { groups[name] }

    /// All groups, by name.
    var all: [GroupConfiguration] { groups.values.sorted { $0.name < $1.name } }

    func put(_ configuration: GroupConfiguration, at time: Timestamp) {
        groups[configuration.name] = configuration
        limitTraffic(configuration)
        version.advance(at: time)
    }

    func remove(_ name: String, at time: Timestamp) {
        groups[name] = nil
        pullLimits[name] = nil
        version.advance(at: time)
    }

    func pullLimit(_ name: String) -> TrafficLimit? { pullLimits[name] }

    /// Takes over what the group's settings, or the broker's, say of its traffic.
    func limitTraffic(_ group: GroupConfiguration) {
        let isSystem = SystemGroups.fixed.contains(group.name) || group.name.hasPrefix(SystemGroups.prefix)
        let defaults = isSystem ? TrafficRate() : quotas.configuration.group
        pullLimits[group.name] = quotas.limit(
            group.quota.pull.resolved(defaults), keeping: pullLimits[group.name])
    }
}
