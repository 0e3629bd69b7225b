import Base
import Bytes
import Model

/// The topics of a broker, found by the bytes of their names.
final class TopicTable {
    @exclusivity(unchecked) private var topics = ByteKeyTable<Topic>()
    /// Counts the changes, for name servers that compare.
    private(set) var version = DataVersion()
    private let quotas: Quotas

    init(quotas: Quotas) { self.quotas = quotas }

    @inline(__always)
    subscript(name: RawSpan) -> Topic? { topics[name] }
    subscript(name: String) -> Topic? { topics[name] }
    var count: Int { topics.count }

    /// All topics, by name.
    var all: [Topic] { topics.values.sorted { $0.name < $1.name } }

    /// Topics of dead letters, in no particular order.
    private(set) var deadLetters: [Topic] = []

    func put(_ configuration: TopicConfiguration, at time: Timestamp) {
        if let topic = topics[configuration.name] {
            topic.configuration = configuration
        } else {
            let topic = Topic(configuration, quotas: quotas)
            topics[configuration.name] = topic
            if topic.name.hasPrefix(SystemTopics.deadLetterPrefix) { deadLetters.append(topic) }
        }
        version.advance(at: time)
    }

    func remove(_ name: String, at time: Timestamp) {
        topics[name] = nil
        if name.hasPrefix(SystemTopics.deadLetterPrefix) { deadLetters.removeAll { $0.name == name } }
        version.advance(at: time)
    }
}
