import Base
import Model
import Telemetry

/// The state of one name server: routes, live brokers and the key-value configuration.
///
/// Owned by one thread; every call returns at once. What a request means is RocketMQ 4.9's (`RouteInfoManager`,
/// `KVConfigManager`; remoting reference §1.6), with three differences, each where 4.9 leaves stale routes behind: time is
/// measured on a clock that cannot jump; an address belongs to one broker, so a broker that registers with the address of
/// another one replaces it; and a broker that says goodbye takes only its own address away, not that of a successor.
public final class NameServer {
    public internal(set) var configuration: NameServerConfiguration
    public var metrics: NameServerMetrics {
        var metrics = counts
        metrics.entriesVisited = routes.entriesVisited
        return metrics
    }

    var counts = NameServerMetrics()
    var routes = RouteTable()
    var live = LiveBrokers()
    var kvConfig = KVConfig()
    let kvConfigFile: KVConfigFile?
    let clock: any Clock
    let log: Log

    /// A name server that keeps nothing on a disk.
    public init(configuration: NameServerConfiguration, clock: any Clock, log: Log) {
        self.configuration = configuration
        self.clock = clock
        self.log = log.labelled("name server")
        kvConfigFile = nil
    }

    /// A name server whose key-value configuration is in a file, if the configuration names one; what is there is read.
    /// - Throws: ``NameServerError/kvConfigNotRead(path:reason:)``, rather than to begin without what an operator put there.
    public init(
        configuration: NameServerConfiguration, clock: any Clock, disk: any Disk, log: Log
    ) throws(NameServerError) {
        self.configuration = configuration
        self.clock = clock
        self.log = log.labelled("name server")
        kvConfigFile = configuration.kvConfigPath.map { KVConfigFile(disk: disk, path: $0) }
        if let kvConfigFile { kvConfig = try kvConfigFile.load() }
    }

    /// Whether routes carry the order configuration of their topic, from now on (`orderMessageEnable`).
    public func setOrderMessageEnabled(_ isEnabled: Bool) {
        configuration.isOrderMessageEnabled = isEnabled
    }
}
