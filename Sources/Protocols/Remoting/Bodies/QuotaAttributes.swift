import Bytes
import Model

// A quota travels in the member `attributes` of a topic or group: a map from names to numbers as texts, which RocketMQ 5 has and
// 4.9 passes over. Attributes of other names are passed over here.

extension TrafficQuota {
    init(attributes json: JSONValue) throws(BodyError) {
        self = .byDefault
        guard let members = try json.member("attributes")?.members else { return }
        for member in members {
            guard let name = member.key.stringValue, let value = member.value.integerValue else { continue }
            _ = set(name, value)
        }
    }

    /// Writes nothing for a quota that says nothing.
    func writeAttributes(to json: inout JSONWriter) {
        guard !isByDefault else { return }
        let settings = settings
        json.field("attributes") { json in
            json.object { json in
                for (name, value) in settings {
                    json.key(text: name)
                    json.string(String(value))
                }
            }
        }
    }
}
