import Base
import Bytes
import Model
import RemotingProtocol

/// 25, 26: the broker's settings (remoting reference §1.9, "Topic and group admin").
extension BrokerSession {
    /// 26 `GET_BROKER_CONFIG`: one `name=value` per line.
    func getBrokerConfiguration(_ request: BrokerRequest) {
        guard !header.isOneway else { return }
        let view = frontend.settings
        let version = ByteBuffer()
        view.version.encode(to: version)
        write(header.encoding) { writer in
            writer.begin(response: .success, to: header)
            writer.field("version", version.bytes)
            writer.beginBody()
            for (name, value) in view.settings { writer.buffer.append(utf8: JavaProperties.line(name, value)) }
            writer.end()
        }
    }

    /// 25 `UPDATE_BROKER_CONFIG`. No setting changes while the broker runs: a change that the next start forgets, or that only
    /// seems to be taken, is worse than a refusal.
    func updateBrokerConfiguration(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let text = input.bytes.extracting(request.body).string()
        let names = JavaProperties.parse(text).map(\.name)
        guard !names.contains(where: BrokerSettingsView.protected.contains) else {
            throw Refusal(.noPermission, "Can not update config in black list.")
        }
        guard let name = names.first else { return answer(request) }
        throw Refusal(
            .noPermission,
            "\(name) cannot be changed while the broker runs: change it in the configuration file and start again")
    }
}
