import Bytes
import NameService
import RemotingProtocol
import Telemetry

/// The name server's settings as text in the form of Java properties: 318 update, 319 get.
extension NameServerSession {
    private static var orderMessageEnable: String { "orderMessageEnable" }

    /// Changes what can be changed. A setting named with the value that it has is no change, so that a tool may send back
    /// all that it got; a setting that is not known is passed over, as RocketMQ does.
    func updateConfiguration(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let text = request.input.bytes.extracting(request.body).string()
        let changes = JavaProperties.parse(text)
        if changes.contains(where: { NameServerSettings.protected.contains($0.name) }) { throw .settingProtected }
        var isOrderEnabled = server.configuration.isOrderMessageEnabled
        for (name, value) in changes {
            if name == Self.orderMessageEnable {
                isOrderEnabled = try Self.bool(name, value)
            } else if let fixed = frontend.settings.fixed[name] {
                guard fixed == value else { throw .settingFixed(name) }
            } else {
                frontend.log.warning("unknown setting passed over", ["name": name, "peer": peer])
            }
        }
        server.setOrderMessageEnabled(isOrderEnabled)
        writer.answer(request)
    }

    private static func bool(_ name: String, _ value: String) throws(NameServerFailure) -> Bool {
        switch value {
        case "true": return true
        case "false": return false
        default: throw .settingInvalid(name: name, value: value, expected: "true or false")
        }
    }

    func getConfiguration(_ request: NameServerRequest, _ writer: inout CommandWriter) {
        var settings = frontend.settings.fixed
        settings[Self.orderMessageEnable] = String(server.configuration.isOrderMessageEnabled)
        writer.begin(response: .success, to: request.header)
        writer.beginBody()
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            writer.buffer.append(utf8: JavaProperties.line(name, value))
        }
        writer.end()
    }
}
