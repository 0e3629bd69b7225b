import NameService
import RemotingProtocol

/// Why a request to the name server is refused. The table below is the only place that knows the codes and words.
enum NameServerFailure: Error, Equatable {
    case notSupported(code: Int32)
    case fields(HeaderError)
    case body(String)
    case bodyChecksum
    case topicUnknown(String)
    case keyUnknown(namespace: String, key: String)
    case namespaceUnknown(String)
    case listDisabled
    case settingProtected
    case settingFixed(String)
    case settingInvalid(name: String, value: String, expected: String)
    case server(NameServerError)
    case answerTooLarge(size: Int)
    /// Not from whom, or from where, it came.
    case denied(String)

    /// Code and remark (remoting reference §1.3, §1.6).
    var response: (code: ResponseCode, remark: String) {
        switch self {
        // 4.9 answers nothing at all to an unknown code, and lets the client wait until it gives up.
        case .notSupported(let code): (.requestCodeNotSupported, " request type \(code) not supported")
        case .fields(let error): (.systemError, error.description)
        case .body(let reason): (.systemError, "the body cannot be read: \(reason)")
        case .bodyChecksum: (.systemError, "crc32 not match")
        case .topicUnknown(let topic):
            (
                .topicNotExist,
                "No topic route info in name server for the topic: \(topic)\n"
                    + "See http://rocketmq.apache.org/docs/faq/ for further details."
            )
        case .keyUnknown(let namespace, let key):
            (.queryNotFound, "No config item, Namespace: \(namespace) Key: \(key)")
        case .namespaceUnknown(let namespace): (.queryNotFound, "No config item, Namespace: \(namespace)")
        // The words of RocketMQ 5.
        case .listDisabled: (.noPermission, "disable")
        case .settingProtected: (.noPermission, "Can not update config in black list.")
        case .settingFixed(let name): (.systemError, "\(name) cannot be changed while the name server runs")
        case .settingInvalid(let name, let value, let expected):
            (.systemError, "\(name) is \(expected), not \"\(value)\"")
        case .server(let error):
            if case .limitReached = error {
                (.systemBusy, error.description)
            } else {
                (.systemError, error.description)
            }
        case .denied(let reason): (.noPermission, reason)
        case .answerTooLarge(let size): (.systemError, "the answer of \(size) bytes does not fit a frame")
        }
    }
}
