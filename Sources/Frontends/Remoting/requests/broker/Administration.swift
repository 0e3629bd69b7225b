import Base
import BrokerCore
import Model
import RemotingProtocol

/// Requests that tools send.
extension BrokerSession {
    func administer(_ request: BrokerRequest) throws(Refusal) {
        throw Refusal(.requestCodeNotSupported, " request type \(header.code) not supported")
    }
}
