import Base
import Bytes
import NameService
import RemotingProtocol
import Telemetry

/// The name server's settings as text in the form of Java properties: 318 update, 319 get.
extension NameServerSession {
    /// Changes what can be changed while the name server runs, all of it or nothing; it lasts until the process ends.
    ///
    /// A fixed setting named with the value that it has is no change, so that a tool may send back what it got; a setting
    /// that is not known is passed over, as RocketMQ does.
    func updateConfiguration(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let changes = JavaProperties.parse(request.input.bytes.extracting(request.body).string())
        let protected = NameServerFrontendConfiguration.protectedProperties
        if changes.contains(where: { protected.contains($0.name) }) { throw .settingProtected }
        var switches = frontend.switches
        for (name, value) in changes {
            if switches[name] != nil {
                switches[name] = try Self.bool(name, value)
            } else if let fixed = frontend.configuration.fixedProperties[name] {
                guard fixed == value else { throw .settingFixed(name) }
            } else {
                frontend.log.warning("unknown setting passed over", ["name": name, "peer": peer.description])
            }
        }
        frontend.switches = switches
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
        let switches = frontend.switches.mapValues { $0 ? "true" : "false" }
        let settings = frontend.configuration.fixedProperties.merging(switches) { _, current in current }
        writer.begin(response: .success, to: request.header)
        writer.beginBody()
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            writer.buffer.append(utf8: JavaProperties.line(name, value))
        }
        writer.end()
    }
}

extension NameServerFrontend {
    /// The settings that can be changed while the name server runs, by RocketMQ's names.
    var switches: [String: Bool] {
        get {
            [
                "enableAllTopicList": configuration.isAllTopicListEnabled,
                "enableTopicList": configuration.isTopicListEnabled,
                "orderMessageEnable": server.configuration.isOrderMessageEnabled,
            ]
        }
        set {
            configuration.isAllTopicListEnabled = newValue["enableAllTopicList"] ?? true
            configuration.isTopicListEnabled = newValue["enableTopicList"] ?? true
            server.setOrderMessageEnabled(newValue["orderMessageEnable"] ?? false)
        }
    }
}
