import Bytes
import NameService
import RemotingProtocol

/// 106 `GET_BROKER_CLUSTER_INFO`.
extension NameServerSession {
    func getClusterInformation(_ request: NameServerRequest, _ writer: inout CommandWriter) {
        let information = server.clusterInformation
        writer.answer(request) { json in
            json.object { json in
                json.field("brokerAddrTable") { json in
                    json.object { json in
                        for broker in information.brokers {
                            json.key(text: broker.name)
                            // RocketMQ writes these ids without quotes for every version (remoting reference §1.6).
                            Self.write(broker, &json, quotesIDs: false)
                        }
                    }
                }
                json.field("clusterAddrTable") { json in
                    json.object { json in
                        for cluster in information.clusters {
                            json.key(text: cluster.name)
                            json.array(cluster.brokerNames) { $0.string($1) }
                        }
                    }
                }
            }
        }
    }
}
