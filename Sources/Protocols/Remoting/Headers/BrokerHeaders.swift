import Bytes

/// 315 `VIEW_BROKER_STATS_DATA`.
public struct ViewBrokerStatsDataHeader: CommandFields, Equatable {
    public var statsName: String
    public var statsKey: String

    public init(statsName: String, statsKey: String) {
        self.statsName = statsName
        self.statsKey = statsKey
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        statsName = try header.string("statsName", in: span)
        statsKey = try header.string("statsKey", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("statsName", statsName)
        writer.field("statsKey", statsKey)
    }
}

/// The answer to 26 `GET_BROKER_CONFIG`.
public struct GetBrokerConfigResponseHeader: CommandFields, Equatable {
    /// The data version, as JSON.
    public var version: String

    public init(version: String) {
        self.version = version
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        version = try header.string("version", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("version", version)
    }
}
