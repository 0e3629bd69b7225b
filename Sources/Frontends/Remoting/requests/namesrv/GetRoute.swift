import Bytes
import Model
import NameService
import RemotingProtocol

/// 105 `GET_ROUTEINFO_BY_TOPIC`: what every client asks every 30 s for each of its topics.
extension NameServerSession {
    func getRoute(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: GetRouteInfoHeader = try request.fields()
        guard let route = server.route(of: fields.topic) else { throw .topicUnknown(fields.topic) }
        // Older Java clients are used to fastjson's `{0:"…"}`; from 4.9.4 on standard JSON is due (remoting reference §1.6).
        let isStandard =
            request.header.version >= CommandVersion.standardRouteJSON || fields.isStandardJSONOnly == true
        writer.answer(request) { json in Self.write(route, &json, isStandard: isStandard) }
    }

    private static func write(_ route: TopicRoute, _ json: inout JSONWriter, isStandard: Bool) {
        json.object { json in
            json.field("brokerDatas") { json in
                json.array(route.brokers) { json, broker in write(broker, &json, quotesIDs: isStandard) }
            }
            json.field("filterServerTable") { json in
                json.object { json in
                    for filter in route.filterServers {
                        json.key(text: filter.brokerAddress)
                        json.array(filter.servers) { $0.string($1) }
                    }
                }
            }
            json.field("orderTopicConf", route.orderConfiguration)
            json.field("queueDatas") { json in json.array(route.queues) { json, queues in write(queues, &json) } }
        }
    }

    /// Shared with the cluster information of request 106.
    static func write(_ broker: BrokerRoute, _ json: inout JSONWriter, quotesIDs: Bool) {
        json.object { json in
            json.field("brokerAddrs") { json in
                json.object { json in
                    for address in broker.addresses {
                        if quotesIDs { json.key(text: String(address.id)) } else { json.key(integer: address.id) }
                        json.string(address.address)
                    }
                }
            }
            json.field("brokerName", broker.name)
            json.field("cluster", broker.cluster)
        }
    }

    private static func write(_ queues: QueueRoute, _ json: inout JSONWriter) {
        json.object { json in
            json.field("brokerName", queues.brokerName)
            json.field("perm", queues.permission.rawValue)
            json.field("readQueueNums", queues.readQueueCount)
            json.field("topicSysFlag", queues.systemFlag)
            json.field("writeQueueNums", queues.writeQueueCount)
        }
    }
}
