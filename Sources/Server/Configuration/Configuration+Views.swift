import Base
import Glibc
import Model
import Telemetry

// What each room is handed: plain values with units in their types, none of them optional. Keys appear nowhere else.

/// Where one listener binds and how it treats its peers.
public struct ListenerSettings: Sendable {
    /// Local address, for instance `0.0.0.0`.
    public var host: String
    /// 0 takes a free port.
    public var port: Int
    public var connectionsMaximum: Int
    /// 0 is any number.
    public var connectionsPerAddressMaximum: Int
    public var limitsLoopback: Bool
    public var idleTime: Duration
}

/// How many TLS handshakes there may be, and what they may take.
public struct HandshakeSettings: Equatable, Sendable {
    public var maximum: Int
    public var perAddressMaximum: Int
    public var sharePercent: Int
    public var limitsLoopback: Bool
}

/// Who gets TLS, who may do what, and how this process approaches other servers. Paths are empty where there is none.
public struct SecuritySettings: Sendable {
    /// `disabled`, `permissive` or `enforcing`.
    public var tlsMode: String
    public var certificate: String
    public var key: String
    public var keyPassword: String
    /// `none`, `optional` or `require`.
    public var clientAuthentication: String
    public var clientTrust: String
    public var handshakeTimeout: Duration
    public var handshakes: HandshakeSettings
    public var outgoing: OutgoingTLSSettings
    public var controlsAccess: Bool
    public var accessFile: String
    public var credentialsFile: String
    public var allowsRemoteAdministration: Bool
}

public struct OutgoingTLSSettings: Sendable {
    public var isEnabled: Bool
    public var trust: String
    public var certificate: String
    public var key: String
    public var keyPassword: String
}

public struct BrokerSettings: Sendable {
    public var listener: ListenerSettings
    /// Whether there is a ``vipListener``, where the port allows.
    public var hasVIPListener: Bool
    /// Empty: the server finds out.
    public var name: String
    public var clusterName: String
    public var id: Int64
    /// The address that clients are told; empty: the server finds out.
    public var advertisedHost: String
    public var nameServers: [String]
    public var registrationPeriod: Duration
    public var registrationTimeout: Duration
    /// Bits as in RocketMQ: 4 read, 2 write.
    public var permission: Int32
    public var region: String
    public var isTracing: Bool
    public var topics: TopicSettings
    public var consumers: ConsumerSettings
    public var transactions: TransactionSettings
    public var timers: TimerSettings
    public var quotas: QuotaSettings
    public var store: StoreSettings

    /// The port two below that Java clients up to 4.5.0 send to, and later ones with `vipChannelEnabled` (remoting reference
    /// §1.1), with an eighth of the connections. Nil when the listener's port is chosen by the kernel.
    public var vipListener: ListenerSettings? {
        guard hasVIPListener, listener.port > 2 else { return nil }
        var settings = listener
        settings.port -= 2
        settings.connectionsMaximum = max(1, settings.connectionsMaximum / 8)
        return settings
    }
}

public struct QuotaSettings: Sendable {
    public var topicsMaximum: Int
    public var groupsMaximum: Int
    public var heldPullsMaximum: Int
    public var topic: TrafficQuota
    public var group: TrafficRate
    public var client: TrafficQuota
    public var wait: Duration
}

public struct TopicSettings: Sendable {
    public var createsAutomatically: Bool
    public var queueCountDefault: Int32
    public var isClusterTopicWritable: Bool
    public var isBrokerTopicWritable: Bool
    /// Nil when traces have no topic of their own.
    public var traceTopic: String?
    public var createsGroupsAutomatically: Bool
}

public struct ConsumerSettings: Sendable {
    public var holdsPulls: Bool
    /// How long a pull is held when ``holdsPulls`` is false.
    public var shortHold: Duration
    public var filtersByProperties: Bool
    public var storesReplies: Bool
    public var notifiesMembershipChanges: Bool
    public var clientExpiry: Duration
    public var recentBytesMaximum: Int
    public var recentMessagesMaximum: Int
    public var oldBytesMaximum: Int
    public var oldMessagesMaximum: Int
    /// Share of the machine's memory, in percent, within which messages count as recent.
    public var recentMemoryPercent: Int
    public var queryMessagesMaximum: Int
}

public struct TransactionSettings: Sendable {
    public var areRejected: Bool
    public var timeout: Duration
    public var checkInterval: Duration
    public var checkMaximum: Int
}

public struct TimerSettings: Sendable {
    /// By delay level less 1, in ms.
    public var delayLevels: [Int64]
    public var allowsRecall: Bool
}

public struct StoreSettings: Sendable {
    public var root: String
    public var commitLog: String
    public var segmentSize: Int
    /// A multiple of 20.
    public var consumeQueueFileSize: Int
    public var messageSizeMaximum: Int
    public var flushesSynchronously: Bool
    public var flushInterval: Duration
    public var flushTimeout: Duration
    public var retention: RetentionSettings
    public var indexesMessages: Bool
    public var indexSlots: Int
    public var indexEntries: Int
}

public struct RetentionSettings: Sendable {
    public var age: Duration
    public var deadLetterAge: Duration
    /// Hours of the day, local time.
    public var hours: [Int]
    /// Shares of the disk in use, in percent.
    public var cleanPercent: Int
    public var forcePercent: Int
    public var refusePercent: Int
    public var deletesForcibly: Bool
    public var interval: Duration
    public var pauseBetweenFiles: Duration
    public var filesPerPass: Int
}

public struct NameServerSettings: Sendable {
    public var listener: ListenerSettings
    public var keyValueFile: String
    public var addsOrderConfiguration: Bool
    public var scanInterval: Duration
    public var listsAllTopics: Bool
    public var listsClusterTopics: Bool
}

// MARK: - From keys to values

extension Configuration {
    public var logLevel: LogLevel { LogLevel(name: text("logLevel")) ?? .info }

    public var broker: BrokerSettings {
        BrokerSettings(
            listener: listener(port: integer("listenPort")),
            hasVIPListener: boolean("vipListenerEnable"),
            name: text("brokerName").isEmpty ? HostName.own : text("brokerName"),
            clusterName: text("brokerClusterName"), id: Int64(integer("brokerId")),
            advertisedHost: text("brokerIP1"), nameServers: list("namesrvAddr"),
            registrationPeriod: duration("registerNameServerPeriod"),
            registrationTimeout: duration("registerBrokerTimeoutMills"),
            permission: Int32(integer("brokerPermission")), region: text("regionId"), isTracing: boolean("traceOn"),
            topics: topics, consumers: consumers, transactions: transactions, timers: timers, quotas: quotas,
            store: store)
    }

    public var nameServer: NameServerSettings {
        let file = text("kvConfigPath")
        return NameServerSettings(
            listener: listener(port: integer(role == .standalone ? "nameServerPort" : "listenPort")),
            keyValueFile: file.isEmpty ? text("storePathRootDir") + "/namesrv/kvConfig.json" : file,
            addsOrderConfiguration: boolean("orderMessageEnable"),
            scanInterval: duration("scanNotActiveBrokerInterval"),
            listsAllTopics: boolean("enableAllTopicList"), listsClusterTopics: boolean("enableTopicList"))
    }

    public var security: SecuritySettings {
        SecuritySettings(
            tlsMode: text("tls.server.mode"), certificate: text("tls.server.certPath"), key: text("tls.server.keyPath"),
            keyPassword: text("tls.server.keyPassword"), clientAuthentication: text("tls.server.need.client.auth"),
            clientTrust: text("tls.server.trustCertPath"), handshakeTimeout: duration("tlsHandshakeTimeout"),
            handshakes: HandshakeSettings(
                maximum: integer("maximumTlsHandshakes"), perAddressMaximum: integer("maximumTlsHandshakesPerAddress"),
                sharePercent: integer("tlsHandshakeShare"), limitsLoopback: boolean("limitsLoopback")),
            outgoing: OutgoingTLSSettings(
                isEnabled: boolean("tls.enable") || text("tls.server.mode") == "enforcing",
                trust: text("tls.client.trustCertPath"), certificate: text("tls.client.certPath"),
                key: text("tls.client.keyPath"), keyPassword: text("tls.client.keyPassword")),
            controlsAccess: boolean("aclEnable"), accessFile: text("aclFile"), credentialsFile: text("credentialsFile"),
            allowsRemoteAdministration: boolean("allowRemoteAdministration"))
    }

    private func listener(port: Int) -> ListenerSettings {
        ListenerSettings(
            host: text("bindAddress"), port: port, connectionsMaximum: integer("maximumConnections"),
            connectionsPerAddressMaximum: integer("maximumConnectionsPerAddress"),
            limitsLoopback: boolean("limitsLoopback"),
            idleTime: duration("serverChannelMaxIdleTimeSeconds"))
    }

    private var topics: TopicSettings {
        TopicSettings(
            createsAutomatically: boolean("autoCreateTopicEnable"),
            queueCountDefault: Int32(integer("defaultTopicQueueNums")),
            isClusterTopicWritable: boolean("clusterTopicEnable"),
            isBrokerTopicWritable: boolean("brokerTopicEnable"),
            traceTopic: boolean("traceTopicEnable") ? text("msgTraceTopicName") : nil,
            createsGroupsAutomatically: boolean("autoCreateSubscriptionGroup"))
    }

    private var consumers: ConsumerSettings {
        ConsumerSettings(
            holdsPulls: boolean("longPollingEnable"), shortHold: duration("shortPollingTimeMills"),
            filtersByProperties: boolean("enablePropertyFilter"),
            storesReplies: boolean("storeReplyMessageEnable"),
            notifiesMembershipChanges: boolean("notifyConsumerIdsChangedEnable"),
            clientExpiry: duration("channelExpiredTimeout"),
            recentBytesMaximum: integer("maxTransferBytesOnMessageInMemory"),
            recentMessagesMaximum: integer("maxTransferCountOnMessageInMemory"),
            oldBytesMaximum: integer("maxTransferBytesOnMessageInDisk"),
            oldMessagesMaximum: integer("maxTransferCountOnMessageInDisk"),
            recentMemoryPercent: integer("accessMessageInMemoryMaxRatio"),
            queryMessagesMaximum: integer("defaultQueryMaxNum"))
    }

    private var transactions: TransactionSettings {
        TransactionSettings(
            areRejected: boolean("rejectTransactionMessage"), timeout: duration("transactionTimeOut"),
            checkInterval: duration("transactionCheckInterval"), checkMaximum: integer("transactionCheckMax"))
    }

    private var timers: TimerSettings {
        TimerSettings(
            delayLevels: DelayLevels.parse(text("messageDelayLevel")) ?? DelayLevels.milliseconds,
            allowsRecall: boolean("recallMessageEnable"))
    }

    private var quotas: QuotaSettings {
        func rate(_ name: String) -> TrafficRate {
            TrafficRate(
                messages: Int64(integer(name + "MessagesPerSecond")), bytes: Int64(integer(name + "BytesPerSecond")))
        }
        return QuotaSettings(
            topicsMaximum: integer("maximumTopics"), groupsMaximum: integer("maximumGroups"),
            heldPullsMaximum: integer("maximumHeldPulls"),
            topic: TrafficQuota(send: rate("topicSend"), pull: rate("topicPull")), group: rate("groupPull"),
            client: TrafficQuota(send: rate("clientSend"), pull: rate("clientPull")),
            wait: duration("quotaWaitMillis"))
    }

    private var store: StoreSettings {
        let commitLog = text("storePathCommitLog")
        // RocketMQ rounds up likewise, so that an entry never spans two files.
        let wholeEntries = (integer("mappedFileSizeConsumeQueue") + 19) / 20 * 20
        return StoreSettings(
            root: text("storePathRootDir"),
            commitLog: commitLog.isEmpty ? text("storePathRootDir") + "/commitlog" : commitLog,
            segmentSize: integer("mappedFileSizeCommitLog"), consumeQueueFileSize: wholeEntries,
            messageSizeMaximum: integer("maxMessageSize"), flushesSynchronously: text("flushDiskType") == "SYNC_FLUSH",
            flushInterval: duration("flushIntervalCommitLog"), flushTimeout: duration("syncFlushTimeout"),
            retention: retention, indexesMessages: boolean("messageIndexEnable"),
            indexSlots: integer("maxHashSlotNum"), indexEntries: integer("maxIndexNum"))
    }

    private var retention: RetentionSettings {
        RetentionSettings(
            age: duration("fileReservedTime"), deadLetterAge: duration("deadLetterReservedTime"),
            hours: hours("deleteWhen"),
            cleanPercent: integer("diskMaxUsedSpaceRatio"), forcePercent: integer("diskSpaceCleanForciblyRatio"),
            refusePercent: integer("diskSpaceWarningLevelRatio"),
            deletesForcibly: boolean("cleanFileForciblyEnable"), interval: duration("cleanResourceInterval"),
            pauseBetweenFiles: duration("deleteCommitLogFilesInterval"), filesPerPass: integer("deleteFileBatchMax"))
    }
}

/// The name of this machine, which a broker without a name of its own takes, as in RocketMQ.
enum HostName {
    /// With the characters that names of topics allow, since a topic is named like the broker.
    static var own: String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let failed = buffer.withUnsafeMutableBytes { bytes in
            guard let start = bytes.bindMemory(to: CChar.self).baseAddress else { return true }
            return gethostname(start, bytes.count - 1) != 0
        }
        let name = String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
        let allowed = String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") ? $0 : "_" })
        return failed || allowed.isEmpty ? "broker" : allowed
    }
}
