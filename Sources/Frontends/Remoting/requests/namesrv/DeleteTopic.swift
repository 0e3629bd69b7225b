import NameService
import RemotingProtocol

/// 216 `DELETE_TOPIC_IN_NAMESRV`, everywhere or in one cluster.
extension NameServerSession {
    func deleteTopic(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: DeleteTopicInNameServerHeader = try request.fields()
        if let cluster = fields.clusterName, !cluster.isEmpty {
            server.deleteTopic(fields.topic, inCluster: cluster)
        } else {
            server.deleteTopic(fields.topic)
        }
        writer.answer(request)
    }
}
