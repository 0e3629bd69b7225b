import Base
import BrokerCore
import Glibc
import Model
import RemotingFrontend
import Storage

// From the settings of the process to what each room wants to know.

extension BrokerSettings {
    func brokerConfiguration(address: HostAddress) -> BrokerConfiguration {
        var result = BrokerConfiguration()
        result.name = name
        result.cluster = clusterName
        result.brokerID = id
        result.address = address
        result.permission = Permission(rawValue: permission)
        result.createsTopics = topics.createsAutomatically
        result.defaultTopicQueueCount = topics.queueCountDefault
        result.createsGroups = topics.createsGroupsAutomatically
        result.isClusterTopicEnabled = topics.isClusterTopicWritable
        result.isBrokerTopicEnabled = topics.isBrokerTopicWritable
        result.isTraceTopicEnabled = topics.traceTopic != nil
        result.isLongPollingEnabled = consumers.holdsPulls
        result.isPropertyFilterEnabled = consumers.filtersByProperties
        result.storesReplies = consumers.storesReplies
        result.notifiesMembers = consumers.notifiesMembershipChanges
        result.memberExpiryMilliseconds = consumers.clientExpiry.milliseconds
        result.messageSizeMaximum = store.messageSizeMaximum
        result.transactions.rejectsHalves = transactions.areRejected
        result.transactions.timeoutMilliseconds = transactions.timeout.milliseconds
        result.transactions.checkIntervalMilliseconds = transactions.checkInterval.milliseconds
        result.transactions.checkMaximum = Int32(clamping: transactions.checkMaximum)
        result.timers.delayLevels = timers.delayLevels
        result.timers.allowsRecall = timers.allowsRecall
        result.deadLetterReservedHours = Int(store.retention.deadLetterAge.components.seconds / 3600)
        result.limits.topics = quotas.topicsMaximum
        result.limits.groups = quotas.groupsMaximum
        result.limits.heldPulls = quotas.heldPullsMaximum
        result.quotas.topic = quotas.topic
        result.quotas.group = quotas.group
        result.quotas.client = quotas.client
        result.quotas.waitMilliseconds = quotas.wait.milliseconds
        // A record is moved on well before its segment expires.
        result.timers.windowMilliseconds = min(
            result.timers.windowMilliseconds, store.retention.age.milliseconds / 2)
        return result
    }

    var storeConfiguration: StoreConfiguration {
        var result = StoreConfiguration(root: store.root)
        result.commitLogPath = store.commitLog
        result.segmentSize = store.segmentSize
        result.consumeQueue = ConsumeQueueConfiguration(
            entriesPerFile: store.consumeQueueFileSize / ConsumeQueueEntry.encodedSize)
        result.isMessageIndexEnabled = store.indexesMessages
        result.messageIndex = MessageIndexConfiguration(slotCount: store.indexSlots, entryCount: store.indexEntries)
        result.flushMode = store.flushesSynchronously ? .synchronous : .asynchronous
        result.flushIntervalMilliseconds = store.flushInterval.milliseconds
        result.messageSizeMaximum = store.messageSizeMaximum
        result.fetchLimits.bytesInMemory = consumers.recentBytesMaximum
        result.fetchLimits.countInMemory = consumers.recentMessagesMaximum
        result.fetchLimits.bytesOnDisk = consumers.oldBytesMaximum
        result.fetchLimits.countOnDisk = consumers.oldMessagesMaximum
        result.hotRangeBytes = Self.memorySize() / 100 * consumers.recentMemoryPercent
        result.retention = store.retention.configuration
        return result
    }

    /// Bytes of memory that the machine has.
    private static func memorySize() -> Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }
}

extension Configuration {
    /// What tools see of a broker's settings: those that mean something to it, with RocketMQ's names.
    /// - Parameter found: what the server found out where the settings leave it to it, by their names.
    func brokerView(started: Timestamp, found: [String: String] = [:]) -> BrokerSettingsView {
        var view = BrokerSettingsView()
        view.version = DataVersion(timestamp: started)
        for setting in Setting.all where setting.roles.contains(role) {
            if case .ignored = setting.support { continue }
            if setting.kind == .secret { continue }
            view.settings.append((setting.key, found[setting.key] ?? value(setting.key).text))
        }
        // What `mqadmin exportConfigs` reads and fails without: settings that mean nothing here, with what is true.
        view.settings += [
            ("brokerRole", text("brokerRole")), ("filterServerNums", "0"), ("slaveReadEnable", "false"),
            ("useTLS", text("tls.server.mode") == "enforcing" ? "true" : "false"),
        ]
        for name in BrokerSettingsView.protected.sorted() where !view.settings.contains(where: { $0.name == name }) {
            view.settings.append((name, name == "configBlackList" ? "configBlackList;brokerConfigPath" : ""))
        }
        return view
    }
}

extension RetentionSettings {
    var configuration: RetentionConfiguration {
        var result = RetentionConfiguration()
        result.reservedHours = Int(age.components.seconds / 3600)
        result.deletionHours = Set(hours)
        result.diskRatioForDeletion = Double(cleanPercent) / 100
        result.diskRatioForForcedDeletion = Double(forcePercent) / 100
        result.diskRatioForRefusal = Double(refusePercent) / 100
        result.isForcedDeletionEnabled = deletesForcibly
        result.intervalMilliseconds = interval.milliseconds
        result.segmentsPerRound = filesPerPass
        result.hourOfDay = { timestamp in
            var seconds = time_t(timestamp.milliseconds / 1000)
            var parts = tm()
            localtime_r(&seconds, &parts)
            return Int(parts.tm_hour)
        }
        return result
    }
}
