import Base

// Defaults and ranges are RocketMQ 4.9's where it has the key (RocketMQ reference, appendix C), unless the summary says why not.

extension Setting {
    /// Every setting, in the order in which they are shown. Keys are unique.
    public static let all: [Setting] =
        network + security + identity + topics + consumers + transactions + timers + quotas + store + retention + index
        + nameServer
        + ignored

    private static let port = Kind.integer(0...65535)
    private static let ratio = Kind.integer(1...99)
    private static let anyMilliseconds = Kind.duration(.milliseconds, 1...86_400_000)
    private static let fileSizeMaximum: Int64 = 2_147_483_647

    // MARK: - Network

    static let network: [Setting] = [
        Setting(
            "listenPort", port, "10911", nameServer: "9876", in: .any, flag: "listen-port",
            "TCP port for clients; 0 takes a free one. The broker's in `start` and `broker`, the name server's in `namesrv`."
        ),
        Setting(
            "vipListenerEnable", .boolean, "true",
            "Clients may use the port two below listenPort as well, unless that is 0 to 2: Java clients up to 4.5.0 send to it, and later ones with vipChannelEnabled. Not RocketMQ's, which always listens there."
        ),
        Setting(
            "nameServerPort", port, "9876", in: .standalone, flag: "name-server-port",
            "TCP port of the name server that `start` runs beside the broker; 0 takes a free one. Not RocketMQ's."),
        Setting(
            "bindAddress", .text, "0.0.0.0", in: .any, flag: "bind",
            "Local address to listen on; 127.0.0.1 keeps other machines out. RocketMQ 5's name for it."),
        Setting(
            "brokerIP1", .text, "", flag: "broker-ip",
            "Address that clients are told to connect to; empty takes the first address of this machine that is no loopback."
        ),
        Setting(
            "namesrvAddr", .addresses, "", flag: "name-server",
            "Name servers to register with. `start` registers with its own besides; NAMESRV_ADDR is read too."),
        Setting(
            "maximumConnections", .integer(1...1_000_000), "20000", in: .any,
            "Connections at a time; further ones are closed at once with a line in the log. Not RocketMQ's."),
        Setting(
            "maximumConnectionsPerAddress", .integer(0...1_000_000), "0", in: .any,
            "Connections at a time from one address, to all ports together; 0 is any number. Not RocketMQ's."),
        Setting(
            "limitsLoopback", .boolean, "false", in: .any,
            "Whether addresses of this machine, too, are refused for having too many connections, and for a while when they keep "
                + "sending what is no frame. Not RocketMQ's."),
        Setting(
            "maximumPeerMemory", .bytes(16_777_216...1_099_511_627_776), "536870912", in: .any,
            "Memory for what peers have sent in part and what they have not taken. Above three quarters of it new connections are "
                + "refused and large frames wait; above all of it the newest connections that hold some are closed. Not RocketMQ's."
        ),
        Setting(
            "serverChannelMaxIdleTimeSeconds", .duration(.seconds, 1...86_400), "120", in: .any,
            "A connection without traffic for this long is closed."),
        Setting(
            "registerNameServerPeriod", .duration(.milliseconds, 1000...60_000), "30000",
            "Time between two registrations with each name server."),
        Setting(
            "registerBrokerTimeoutMills", .duration(.milliseconds, 100...600_000), "6000",
            "How long one registration may take."),
        Setting(
            "logLevel", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), "info", in: .any,
            flag: "log-level", "Least serious lines that the log shows. Not RocketMQ's."),
    ]

    // MARK: - Who this broker is

    static let identity: [Setting] = [
        Setting(
            "brokerClusterName", .text, "DefaultCluster", flag: "cluster", "Cluster that the broker belongs to."),
        Setting("brokerName", .text, "", flag: "broker-name", "Name of the broker; empty takes the host's name."),
        Setting(
            "brokerId", .integer(0...0), "0",
            "0 is the master of its name. Replicas (above 0) do not exist yet."),
        Setting(
            "brokerRole", .choice(["ASYNC_MASTER", "SYNC_MASTER"]), "ASYNC_MASTER",
            ignored: "there are no replicas yet, so both roles store on this broker alone",
            "Role in replication."),
        Setting(
            "brokerPermission", .integer(0...7), "6",
            "What clients may do: 4 reads, 2 writes, 6 both. Without 2, sends are refused and routes say so."),
        Setting("regionId", .text, "DefaultRegion", "Region name in the answer to each send."),
        Setting("traceOn", .boolean, "true", "Tells producers whether to trace, in the answer to each send."),
    ]

    // MARK: - Topics and groups

    static let topics: [Setting] = [
        Setting(
            "autoCreateTopicEnable", .boolean, "true",
            "A send to an unknown topic creates it, with the settings of TBW102. Turn it off in production."),
        Setting(
            "defaultTopicQueueNums", .integer(1...Int64(Limits.queuesPerTopicMaximum)), "8",
            "Queues of TBW102, and so the most that an automatically created topic gets."),
        Setting("clusterTopicEnable", .boolean, "true", "The system topic named like the cluster may be written."),
        Setting("brokerTopicEnable", .boolean, "true", "The system topic named like the broker may be written."),
        Setting("traceTopicEnable", .boolean, "false", "Creates the topic that traces go to."),
        Setting("msgTraceTopicName", .text, "RMQ_SYS_TRACE_TOPIC", "Name of the topic that traces go to."),
        Setting(
            "autoCreateSubscriptionGroup", .boolean, "true",
            "A pull by an unknown consumer group creates it. Turn it off in production."),
    ]

    // MARK: - Consumers

    static let consumers: [Setting] = [
        Setting(
            "longPollingEnable", .boolean, "true",
            "A pull that finds nothing is held until a message comes or the client's time is over."),
        Setting(
            "shortPollingTimeMills", .duration(.milliseconds, 1...60_000), "1000",
            "How long such a pull is held when longPollingEnable is false."),
        Setting(
            "enablePropertyFilter", .boolean, "true",
            "Filters messages by SQL92 expressions over their properties. RocketMQ's default is false."),
        Setting(
            "storeReplyMessageEnable", .boolean, "true",
            "Stores replies to request messages in the cluster's reply topic, as well as passing them on."),
        Setting(
            "notifyConsumerIdsChangedEnable", .boolean, "true",
            "Tells the members of a group at once when one comes or goes."),
        Setting(
            "channelExpiredTimeout", .duration(.milliseconds, 1000...3_600_000), "120000",
            "A client without a heartbeat for this long leaves its groups."),
        Setting(
            "maxTransferBytesOnMessageInMemory", .bytes(1...16_777_216), "262144",
            "Bytes after which a pull answer is full when its messages are recent."),
        Setting(
            "maxTransferCountOnMessageInMemory", .integer(1...Int64(Limits.pullMessagesMaximum)), "32",
            "Messages after which a pull answer is full when they are recent."),
        Setting(
            "maxTransferBytesOnMessageInDisk", .bytes(1...16_777_216), "65536",
            "Bytes after which a pull answer is full when its messages are old."),
        Setting(
            "maxTransferCountOnMessageInDisk", .integer(1...Int64(Limits.pullMessagesMaximum)), "8",
            "Messages after which a pull answer is full when they are old."),
        Setting(
            "accessMessageInMemoryMaxRatio", .integer(1...99), "40",
            "Messages within this share of the machine's memory from the end of the log count as recent, in percent."),
        Setting(
            "defaultQueryMaxNum", .integer(1...1024), "32", "Most messages that a query by key answers with."),
    ]

    // MARK: - Transactions

    static let transactions: [Setting] = [
        Setting("rejectTransactionMessage", .boolean, "false", "Half messages are refused."),
        Setting(
            "transactionTimeOut", .duration(.milliseconds, 1...86_400_000), "6000",
            "How long after it was stored the producers of a half message are asked about it for the first time, unless the "
                + "message says so itself (CHECK_IMMUNITY_TIME_IN_SECONDS)."),
        Setting(
            "transactionCheckInterval", .duration(.milliseconds, 1...86_400_000), "60000",
            "Time between two such questions. Each half message is asked about on its own time."),
        Setting(
            "transactionCheckMax", .integer(0...1_000_000), "15",
            "Questions after which a half message is given up and goes to TRANS_CHECK_MAX_TIME_TOPIC. Those that find no "
                + "producer online do not count."),
    ]

    // MARK: - Delayed messages

    static let timers: [Setting] = [
        Setting(
            "messageDelayLevel", .delays, "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h",
            "Delays of the levels from 1 on. Retries use the third and those behind it, unless the group has a policy."),
        Setting(
            "recallMessageEnable", .boolean, "true",
            "Producers may take a delayed message back before it is delivered (5.3, where the default is false)."),
    ]

    // MARK: - Limits and quotas

    private static func rate(_ key: String, _ summary: String) -> Setting {
        Setting(key, .integer(0...Limits.quotaRateMaximum), "0", summary + "; 0 is any number. Not RocketMQ's.")
    }

    static let quotas: [Setting] = [
        Setting(
            "maximumTopics", .integer(1...10_000_000), String(Limits.topicsDefault),
            "Topics, those of the system, of retries and of dead letters included; further ones are refused. Not RocketMQ's."
        ),
        Setting(
            "maximumGroups", .integer(1...10_000_000), String(Limits.groupsDefault),
            "Consumer groups; further ones are refused. Not RocketMQ's."),
        Setting(
            "maximumHeldPulls", .integer(1...100_000_000), String(Limits.heldPullsDefault),
            "Pulls that are held at a time, over all connections; further ones are answered code 215. Not RocketMQ's."),
        rate("topicSendMessagesPerSecond", "Messages a second that may be sent to a topic without a quota of its own"),
        rate("topicSendBytesPerSecond", "Bytes of bodies a second that may be sent to such a topic"),
        rate("topicPullMessagesPerSecond", "Messages a second that may be pulled from such a topic"),
        rate("topicPullBytesPerSecond", "Bytes a second that may be pulled from such a topic"),
        rate("groupPullMessagesPerSecond", "Messages a second that a group without a quota of its own may pull"),
        rate("groupPullBytesPerSecond", "Bytes a second that such a group may pull"),
        rate("clientSendMessagesPerSecond", "Messages a second that one client address may send"),
        rate("clientSendBytesPerSecond", "Bytes of bodies a second that one client address may send"),
        rate("clientPullMessagesPerSecond", "Messages a second that one client address may pull"),
        rate("clientPullBytesPerSecond", "Bytes a second that one client address may pull"),
        Setting(
            "quotaWaitMillis", .duration(.milliseconds, 0...60_000), "1000",
            "A send that its quota would hold up for longer is refused with code 1, which producers try again. Not RocketMQ's."
        ),
    ]

    // MARK: - Store

    static let store: [Setting] = [
        Setting(
            "storePathRootDir", .text, "data", in: .any, flag: "store",
            "Folder of everything that is kept. RocketMQ's default is ~/store; here nothing is hidden away."),
        Setting(
            "storePathCommitLog", .text, "", "Folder of the commit log; empty is commitlog below storePathRootDir."),
        Setting(
            "mappedFileSizeCommitLog", .bytes(65_536...fileSizeMaximum), "1073741824",
            "Size of one segment of the commit log."),
        Setting(
            "mappedFileSizeConsumeQueue", .bytes(20...fileSizeMaximum), "6000000",
            "Size of one file of a consume queue; rounded up to whole entries of 20 bytes."),
        Setting(
            "maxMessageSize", .bytes(1...Int64(Limits.frameSizeMaximum) - 65_536), String(Limits.messageSizeDefault),
            "Largest body of one message, and of one batch."),
        Setting(
            "flushDiskType", .choice(["ASYNC_FLUSH", "SYNC_FLUSH"]), "ASYNC_FLUSH", flag: "flush",
            "ASYNC_FLUSH answers a send when it is in the page cache; SYNC_FLUSH when it is on the disk."),
        Setting(
            "flushIntervalCommitLog", .duration(.milliseconds, 1...60_000), "500",
            "With ASYNC_FLUSH: time between two flushes, which is what a power failure can cost."),
        Setting(
            "syncFlushTimeout", .duration(.milliseconds, 1...600_000), "5000",
            "With SYNC_FLUSH: a send that is not on the disk by then is answered FLUSH_DISK_TIMEOUT."),
    ]

    // MARK: - Retention

    static let retention: [Setting] = [
        Setting(
            "fileReservedTime", .duration(.hours, 1...1_000_000), "72",
            "Age in hours after which a segment may be deleted."),
        Setting(
            "deadLetterReservedTime", .duration(.hours, 1...1_000_000), "72",
            "Age in hours for which dead letters can be read. Longer than fileReservedTime, it keeps the log from the oldest of them "
                + "on, until the disk is too full. Not RocketMQ's."),
        Setting("deleteWhen", .hours, "04", "Hours of the day (local time) at which old segments are deleted."),
        Setting(
            "diskMaxUsedSpaceRatio", .integer(10...95), "75",
            "Use of the disk in percent above which old segments are deleted at any hour."),
        Setting(
            "diskSpaceCleanForciblyRatio", ratio, "85",
            "Use in percent above which the oldest segments are deleted whatever their age (5.x; a system property in 4.9)."
        ),
        Setting(
            "diskSpaceWarningLevelRatio", ratio, "90",
            "Use in percent above which sends are refused; reads go on (5.x; a system property in 4.9)."),
        Setting("cleanFileForciblyEnable", .boolean, "true", "Whether diskSpaceCleanForciblyRatio has an effect."),
        Setting("cleanResourceInterval", anyMilliseconds, "10000", "Time between two looks at age and disk."),
        Setting(
            "deleteCommitLogFilesInterval", .duration(.milliseconds, 0...60_000), "100",
            "Pause between two deleted segments, so that the disk is not busy with nothing else."),
        Setting(
            "deleteFileBatchMax", .integer(1...10_000), "10", "Most segments deleted in one look (5.x)."),
    ]

    // MARK: - Message index

    static let index: [Setting] = [
        Setting("messageIndexEnable", .boolean, "true", "Indexes messages by key, so that they can be queried."),
        Setting("maxHashSlotNum", .integer(1...100_000_000), "5000000", "Hash slots of one index file."),
        Setting("maxIndexNum", .integer(2...400_000_000), "20000000", "Entries of one index file."),
    ]

    // MARK: - Name server

    private static let nameServers: Roles = [.nameServer, .standalone]

    static let nameServer: [Setting] = [
        Setting(
            "kvConfigPath", .text, "", in: nameServers,
            "File of the key-value configuration; empty is namesrv/kvConfig.json below storePathRootDir."),
        Setting("orderMessageEnable", .boolean, "false", in: nameServers, "Adds the order configuration to routes."),
        Setting(
            "scanNotActiveBrokerInterval", anyMilliseconds, "5000", in: nameServers,
            "Time between two looks for brokers that stopped registering (5.x)."),
        Setting("enableAllTopicList", .boolean, "true", in: nameServers, "Answers requests for all topics (5.x)."),
        Setting("enableTopicList", .boolean, "true", in: nameServers, "Answers requests for a cluster's topics (5.x)."),
    ]
}
