import Base
import Bytes
import Model

/// The settings of the consumer groups of a broker, found by the bytes of their names.
final class GroupTable {
    private final class Group {
        var configuration: GroupConfiguration
        /// What its members may still pull; nil without a limit.
        var pullLimit: TrafficLimit?

        init(_ configuration: GroupConfiguration) { self.configuration = configuration }
    }

    @exclusivity(unchecked) private var groups = ByteKeyTable<Group>()
    private(set) var version = DataVersion()
    private let quotas: Quotas

    init(quotas: Quotas) { self.quotas = quotas }

    var count: Int { groups.count }
    subscript(name: String) -> GroupConfiguration? { groups[name]?.configuration }

    /// Whether the group's members may pull; nil when there is no such group.
    func isConsumeEnabled(_ name: RawSpan) -> Bool? { groups[name]?.configuration.isConsumeEnabled }
    func pullLimit(_ name: RawSpan) -> TrafficLimit? { groups[name]?.pullLimit }

    /// All groups, by name.
    var all: [GroupConfiguration] { groups.values.map(\.configuration).sorted { $0.name < $1.name } }

    func put(_ configuration: GroupConfiguration, at time: Timestamp) {
        if let group = groups[configuration.name] {
            group.configuration = configuration
        } else {
            groups[configuration.name] = Group(configuration)
        }
        limitTraffic(configuration)
        version.advance(at: time)
    }

    func remove(_ name: String, at time: Timestamp) {
        groups[name] = nil
        version.advance(at: time)
    }

    /// Takes over what the group's settings, or the broker's, say of its traffic.
    func limitTraffic(_ configuration: GroupConfiguration) {
        guard let group = groups[configuration.name] else { return }
        let isSystem =
            SystemGroups.fixed.contains(configuration.name) || configuration.name.hasPrefix(SystemGroups.prefix)
        let defaults = isSystem ? TrafficRate() : quotas.configuration.group
        group.pullLimit = quotas.limit(configuration.quota.pull.resolved(defaults), keeping: group.pullLimit)
    }
}
