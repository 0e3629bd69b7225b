import Bytes
import NameService
import RemotingProtocol

/// The lists of topics: 206 all, 224 of a cluster, 304 of the system, 311 to 313 of units.
extension NameServerSession {
    func getAllTopics(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        guard frontend.configuration.isAllTopicListEnabled else { throw .listDisabled }
        Self.answer(request, topics: server.topics, &writer)
    }

    func getTopicsByCluster(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        guard frontend.configuration.isTopicListEnabled else { throw .listDisabled }
        let fields: GetTopicsByClusterHeader = try request.fields()
        Self.answer(request, topics: server.topics(ofCluster: fields.cluster), &writer)
    }

    /// The answer names a broker that tools then ask for the rest (305).
    func getSystemTopics(_ request: NameServerRequest, _ writer: inout CommandWriter) {
        let (topics, brokerAddress) = server.systemTopics
        Self.answer(request, topics: topics, brokerAddress: brokerAddress, &writer)
    }

    func getUnitTopics(
        _ kind: UnitTopicKind, _ request: NameServerRequest, _ writer: inout CommandWriter
    ) throws(NameServerFailure) {
        guard frontend.configuration.isTopicListEnabled else { throw .listDisabled }
        Self.answer(request, topics: server.topics(kind), &writer)
    }

    private static func answer(
        _ request: NameServerRequest, topics: [String], brokerAddress: String? = nil, _ writer: inout CommandWriter
    ) {
        writer.answer(request, body: TopicList(topics: topics, brokerAddress: brokerAddress))
    }
}
