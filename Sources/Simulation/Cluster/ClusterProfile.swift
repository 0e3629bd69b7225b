import Base
import BrokerCore
import Model
import Storage

/// What kind of world a seed makes: how the cluster is set up, and which faults strike in it.
struct ClusterProfile {
    var brokerCount = 1
    var nameServerCount = 1
    var store = StoreConfiguration(root: "store")
    var network = SimulatedNetwork.Faults()
    var disk = SimulatedDisk.Faults()
    var hasCrashes = true
    var hasDiskErrors = false
    var hasFullDisks = false
    var hasPartitions = true
    var hasLeaps = false
    var hasSlowDisks = true
    /// Wrong bits and wrong places: what is lost by them cannot be helped, but must not be served.
    var hasRot = false
    /// Consumers see a message when it is on the medium: no power cut takes what they have seen.
    var showsOnlyFlushed = false
    var hasRetention = false
    /// Clocks are set forward only: then the order of stored times is that of the log.
    var clocksGoForward = false
    /// Some delays are longer than messages are kept.
    var hasLongDelays = false
    /// `deadLetterReservedTime`, in hours.
    var deadLetterHours = 72
    var quotas = QuotaConfiguration()
    /// Clients ask and reply; a broadcast group consumes. Not in every world, for each client costs time.
    var hasReplies = true
    var hasBroadcast = true
    var hasQuotas: Bool { quotas != QuotaConfiguration() }
    var delayLevels: [Int64] = [500, 1_000, 2_000, 3_000, 5_000]
    var checkMaximum: Int32 = 1_000
    var timerWindow: Int64 = 24 * 3_600_000
    var housekeepingMilliseconds: Int64 = 50
    /// Between two sends of a producer, in ms.
    var pace: Int64 = 400

    /// Acknowledged messages may be lost here: the disk destroys what it holds.
    var forgivesLoss: Bool { hasRot }

    /// What kind of world it is, in a line.
    var summary: String {
        var parts = ["\(brokerCount) brokers", "\(store.flushMode) flush", "loss \(network.lossPercent) %"]
        let switches: [(Bool, String)] = [
            (hasCrashes, "crashes"), (hasPartitions, "partitions"), (hasLeaps, "leaping clocks"),
            (hasDiskErrors, "disk errors"), (hasFullDisks, "full disks"), (hasRot, "rot"),
            (hasRetention, "retention"), (hasLongDelays, "long delays"),
            (store.retention.isForcedDeletionEnabled, "forced deletion"), (hasQuotas, "quotas"),
            (hasReplies, "replies"), (hasBroadcast, "broadcast"),
            (checkMaximum < 100, "few checks"), (timerWindow < 60_000, "short window"),
        ]
        parts += switches.filter(\.0).map(\.1)
        return parts.joined(separator: ", ")
    }

    init(_ random: SeededRandom, broken: BrokenRule?) {
        func oneIn(_ count: Int) -> Bool { random.next(below: count) == 0 }
        func pick<T>(_ list: [T]) -> T { list[random.next(below: list.count)] }
        brokerCount = pick([1, 1, 2])
        nameServerCount = pick([1, 1, 2])
        network.lossPercent = pick([0, 0, 1, 5, 10, 30])
        network.delayOneIn = pick([0, 0, 50, 10])
        network.resetOneIn = pick([0, 0, 1_000, 200])
        network.latency = pick([50...500, 100...2_000, 1_000...80_000])
        hasPartitions = oneIn(2)
        hasLeaps = oneIn(3)
        hasDiskErrors = oneIn(3)
        hasFullDisks = oneIn(4)
        hasRot = oneIn(8)
        hasRetention = oneIn(4)
        hasCrashes = !oneIn(8)
        disk.crashDamagePercent = pick([nil, 80, 90, 100])
        disk.reorderCompletions = oneIn(2)
        disk.writeBackOneIn = pick([0, 8, 2])
        if hasRot { makeRot(pick) }
        if oneIn(4) { checkMaximum = 3 }
        if oneIn(3) { timerWindow = pick([2_000, 10_000]) }
        housekeepingMilliseconds = pick([50, 100, 200])
        pace = pick([100, 300, 600])
        makeStore(pick)
        if hasRetention { makeRetention(pick) }
        if oneIn(4) { makeQuotas(pick) }
        hasReplies = oneIn(2)
        hasBroadcast = oneIn(2)
        if let broken { adapt(to: broken) }
        showsOnlyFlushed = store.flushMode == .synchronous || broken == .showUnflushed
    }

    private mutating func makeRot(_ pick: ([Int]) -> Int) {
        switch pick([0, 1, 2, 3]) {
        case 0: disk.rotOneIn = pick([10, 50])
        case 1: disk.misdirectOneIn = pick([10, 50])
        case 2: disk.rotWriteOneIn = pick([50, 200])
        default: disk.misdirectWriteOneIn = pick([50, 200])
        }
    }

    private mutating func makeStore(_ pick: ([Int]) -> Int) {
        store.flushMode = pick([0, 1]) == 0 ? .synchronous : .asynchronous
        store.segmentSize = pick([32, 64, 256]) * 1024
        store.consumeQueue = ConsumeQueueConfiguration(
            entriesPerFile: pick([20, 300]), tailEntriesMaximum: pick([2, 16]))
        store.messageIndex = MessageIndexConfiguration(
            slotCount: 16, entryCount: pick([257, 4_001]), pendingEntriesMaximum: 8)
        store.messageSizeMaximum = 8_192
        store.tailChunkSize = 24 * 1024
        store.checkpointIntervalMilliseconds = Int64(pick([400, 2_000, 5_000]))
        store.openFilesMaximum = pick([3, 64])
        store.retention.intervalMilliseconds = 2_000
        store.retention.isForcedDeletionEnabled = false
    }

    /// Small segments that go by time and for want of room, while much is written.
    private mutating func makeRetention(_ pick: ([Int]) -> Int) {
        store.segmentSize = pick([16, 16, 32]) * 1024
        store.retention.reservedHours = pick([1, 1, 2])
        // Without an hour of deletion what has expired goes when the disk is three quarters full.
        store.retention.deletionHours = pick([0, 0, 1]) == 0 ? Set(0..<24) : []
        store.retention.isForcedDeletionEnabled = pick([0, 1, 1]) == 0
        deadLetterHours = pick([1, 1, 30, 72])
        clocksGoForward = pick([0, 1]) == 0
        hasLongDelays = pick([0, 1]) == 0
        hasLeaps = true
        pace = Int64(pick([100, 200]))
    }

    private mutating func makeQuotas(_ pick: ([Int]) -> Int) {
        switch pick([0, 1, 2, 3]) {
        case 0: quotas.topic.send = TrafficRate(messages: Int64(pick([1, 2, 4])))
        case 1: quotas.topic.send = TrafficRate(messages: 3, bytes: Int64(pick([400, 1_500])))
        case 2: quotas.client.send = TrafficRate(messages: Int64(pick([2, 4])), bytes: 2_000)
        default:
            quotas.topic.send = TrafficRate(messages: 2)
            quotas.client.send = TrafficRate(messages: 5)
        }
        if pick([0, 1, 2]) == 0 { quotas.topic.pull = TrafficRate(messages: Int64(pick([10, 40]))) }
        if pick([0, 1, 2]) == 0 { quotas.group = TrafficRate(messages: 30, bytes: 20_000) }
        quotas.waitMilliseconds = Int64(pick([0, 200, 1_000]))
        pace = pick([0, 1]) == 0 ? 100 : pace
    }

    /// Sees to it that a broken rule has an occasion to show itself.
    private mutating func adapt(to broken: BrokenRule) {
        hasReplies = true
        hasBroadcast = true
        hasRot = false
        disk.rotOneIn = 0
        disk.misdirectOneIn = 0
        disk.rotWriteOneIn = 0
        disk.misdirectWriteOneIn = 0
        if !broken.needsRetention {
            hasRetention = false
            hasLongDelays = false
            store.retention = RetentionConfiguration()
            store.retention.deletionHours = []
            store.retention.isForcedDeletionEnabled = false
            deadLetterHours = 72
        }
        if broken != .overrunQuota { quotas = QuotaConfiguration() }
        switch broken {
        case .lieAboutFlush, .acknowledgeBeforeFlush:
            store.flushMode = .synchronous
            hasCrashes = true
            disk.writeBackOneIn = 0
        case .forgetWritten, .showUnflushed:
            store.flushMode = .asynchronous
            hasCrashes = true
            disk.writeBackOneIn = 0
        case .regressOffsets: hasCrashes = true
        case .swallowWhenFull: hasFullDisks = true
        case .forgiveFailedFlush:
            hasDiskErrors = true
            store.flushMode = .synchronous
        case .neverHeal: hasPartitions = true
        case .hideLeap, .forgetTimer: checkMaximum = 1_000
        case .overrunQuota:
            quotas = QuotaConfiguration()
            quotas.topic.send = TrafficRate(messages: 1)
            pace = 100
        case .expireEarly, .forgetDeadLetters, .lowerMinimum:
            hasRetention = true
            makeRetention { $0[0] }
            clocksGoForward = true
            store.retention.isForcedDeletionEnabled = false
            if broken == .forgetDeadLetters { deadLetterHours = 30 }
        default: break
        }
        if broken == .lieAboutFlush { disk.liesAboutSynchronizing = true }
        if broken == .acknowledgeBeforeFlush { store.flushMode = .asynchronous }
        if broken == .swallowWhenFull { disk.swallowsWhenFull = true }
        if broken == .forgiveFailedFlush { disk.forgivesFailedSynchronize = true }
    }

    /// What the broker is started with; a broken rule may make it something else than the promises are for.
    func storeConfiguration(broken: BrokenRule?) -> StoreConfiguration {
        var store = store
        if broken == .expireEarly { store.retention.reservedHours = 0 }
        return store
    }

    func brokerConfiguration(_ name: String, _ host: HostAddress, broken: BrokenRule?) -> BrokerConfiguration {
        var configuration = BrokerConfiguration()
        configuration.name = name
        configuration.address = host
        configuration.messageSizeMaximum = 8_192
        configuration.transactions.timeoutMilliseconds = 2_000
        configuration.transactions.checkIntervalMilliseconds = 3_000
        configuration.transactions.checkMaximum = checkMaximum
        configuration.timers.delayLevels = delayLevels
        configuration.timers.windowMilliseconds = timerWindow
        configuration.deadLetterReservedHours =
            broken == .forgetDeadLetters ? store.retention.reservedHours : deadLetterHours
        if broken != .overrunQuota { configuration.quotas = quotas }
        return configuration
    }
}
