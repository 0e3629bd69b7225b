import Base
import Model

/// The settings of the consumer groups of a broker.
final class GroupTable {
    private var groups: [String: GroupConfiguration] = [:]
    private(set) var version = DataVersion()

    subscript(name: String) -> GroupConfiguration? { groups[name] }

    /// All groups, by name.
    var all: [GroupConfiguration] { groups.values.sorted { $0.name < $1.name } }

    func put(_ configuration: GroupConfiguration, at time: Timestamp) {
        groups[configuration.name] = configuration
        version.advance(at: time)
    }

    func remove(_ name: String, at time: Timestamp) {
        groups[name] = nil
        version.advance(at: time)
    }
}
