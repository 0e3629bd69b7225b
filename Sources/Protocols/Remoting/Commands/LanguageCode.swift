import Bytes

/// The language that a peer says it is written in (remoting reference §1.2). A name or number that is not in the table
/// is read as ``other``.
public enum LanguageCode: UInt8, Sendable, CaseIterable {
    case java = 0
    case cpp = 1
    case dotnet = 2
    case python = 3
    case delphi = 4
    case erlang = 5
    case ruby = 6
    case other = 7
    case http = 8
    case go = 9
    case php = 10
    case oms = 11
    case rust = 12
    case nodeJS = 13

    /// The name in JSON headers and bodies.
    public var name: StaticString {
        switch self {
        case .java: "JAVA"
        case .cpp: "CPP"
        case .dotnet: "DOTNET"
        case .python: "PYTHON"
        case .delphi: "DELPHI"
        case .erlang: "ERLANG"
        case .ruby: "RUBY"
        case .other: "OTHER"
        case .http: "HTTP"
        case .go: "GO"
        case .php: "PHP"
        case .oms: "OMS"
        case .rust: "RUST"
        case .nodeJS: "NODE_JS"
        }
    }

    public init(name: RawSpan) {
        self = Self.allCases.first { name.equals($0.name) } ?? .other
    }

    public init(name: String) {
        self = Self.allCases.first { $0.name.description == name } ?? .other
    }

    public init(number: Int) {
        self = UInt8(exactly: number).flatMap(Self.init(rawValue:)) ?? .other
    }
}

/// A peer's version, as the ordinal of RocketMQ's `MQVersion` (remoting reference §1.2).
public enum CommandVersion {
    /// 4.9.8: what Apus says of itself.
    public static let own: Int32 = 409
    /// 4.9.4: from here on clients expect standard JSON in route data.
    public static let standardRouteJSON: Int32 = 401
    /// 3.4.9: from here on `maxReconsumeTimes` of a send counts.
    public static let maxReconsumeTimes: Int32 = 121
}
