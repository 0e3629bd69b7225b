import Base
import BrokerCore
import Model
import RemotingProtocol
import Runtime
import Storage

// One check for each promise that a broker makes; see docs/operations.md.

extension BrokerFrontend {
    /// What was long ago does not count any more, in ms.
    static let recentMilliseconds: Int64 = 600_000
    /// An answer that waits for longer for the medium, in ms, says that the disk does not keep up.
    static let slowFlushMilliseconds: Int64 = 1_000

    /// How the promises stand now. Looks at what is at hand: no file is read.
    public func health() -> [HealthCheck] {
        [diskHealth(), flushHealth(), recoveryHealth(), clockHealth(), listenerHealth(), memoryHealth()]
    }

    private func isRecent(_ time: MonotonicTime?) -> Bool {
        guard let time else { return false }
        return broker.monotonic.milliseconds(since: time) <= Self.recentMilliseconds
    }

    private func diskHealth() -> HealthCheck {
        var check = HealthCheck("disk")
        let store = broker.store
        if let failure = store.failure { check.find(.failed, "the store has stopped: \(failure)") }
        if store.refusesForSpace { check.find(.failed, "the disk is too full: messages are refused") }
        if let error = store.viewsError { check.find(.failed, "queues and index cannot be written: \(error)") }
        do throws(StorageError) {
            let space = try store.space()
            let used = Int((space.usedRatio * 100).rounded())
            let retention = store.configuration.retention
            if space.usedRatio > retention.diskRatioForForcedDeletion, !store.refusesForSpace {
                check.find(.degraded, "the disk is \(used) % full: the oldest messages go whatever their age")
            }
            check.find(.healthy, "\(BrokerSession.size(space.available)) free, \(used) % used")
        } catch {
            check.find(.degraded, "the disk does not say how full it is: \(error)")
        }
        if isRecent(store.faults.lastTime), let last = store.faults.last {
            check.find(.degraded, "\(store.faults.total) errors of the disk, the last: \(last)")
        }
        return check
    }

    private func flushHealth() -> HealthCheck {
        var check = HealthCheck("flush")
        let store = broker.store
        if let failure = store.failure, failure.operation.contains("sync") {
            check.find(.failed, "the last flush failed: \(failure)")
        }
        let lag = broker.written.bytes(since: broker.flushed)
        if let oldest = oldestWaitingMilliseconds {
            check.find(
                oldest > Self.slowFlushMilliseconds ? .degraded : .healthy,
                "\(flushedGate.count) answers wait for the disk, the oldest for \(oldest) ms")
        }
        let behind = flushBehindMilliseconds
        if behind > max(5_000, 10 * store.configuration.flushIntervalMilliseconds) {
            check.find(.degraded, "nothing has reached the medium for \(behind) ms")
        }
        check.find(.healthy, "\(BrokerSession.size(Int64(lag))) written and not yet on the medium")
        return check
    }

    /// How long the oldest answer has waited for a flush; nil when none waits.
    var oldestWaitingMilliseconds: Int64? {
        flushedGate.first.map { flushTimeoutMilliseconds - $0.deadline.milliseconds(since: broker.monotonic) }
    }

    /// For how long there has been something to flush without a flush that ended.
    var flushBehindMilliseconds: Int64 {
        guard broker.flushed < broker.written, let behindSince else { return 0 }
        return broker.monotonic.milliseconds(since: behindSince)
    }

    private func recoveryHealth() -> HealthCheck {
        var check = HealthCheck("recovery")
        let store = broker.store
        let damaged = store.metrics.damagedRecords
        if damaged > 0 { check.find(.degraded, "\(damaged) times a record failed its checksum and was not served") }
        let metrics = store.metrics
        if metrics.damagedEntries > 0 {
            check.find(
                .degraded,
                "\(metrics.damagedEntries) times entries of consume queues were damaged, \(metrics.mendedEntries) were made "
                    + "anew from the log: let 'apus store check' look through the store")
        }
        if metrics.missingMessages > 0 {
            check.find(.degraded, "\(metrics.missingMessages) times a message was passed over that is not in the log")
        }
        let recovery = store.recovery
        if let cut = recovery.cutAt { check.find(.healthy, "the last start cut a torn write at \(cut)") }
        let stop = recovery.wasCleanStop ? "a clean stop" : "a crash"
        check.find(
            .healthy,
            "started after \(stop) in \(recovery.milliseconds) ms, \(recovery.recordsReplayed) records read again")
        return check
    }

    private func clockHealth() -> HealthCheck {
        var check = HealthCheck("clock")
        if isRecent(clockWatch.lastJumpTime) {
            check.find(.degraded, "the wall clock was set by \(clockWatch.lastJump) ms within the last 10 minutes")
        }
        check.find(
            .healthy, "\(clockWatch.jumps) jumps, \(clockWatch.drift) ms against the monotonic clock since the start")
        return check
    }

    private func listenerHealth() -> HealthCheck {
        var check = HealthCheck("listeners")
        guard let facts = processFacts?() else { return check }
        if facts.isListenerPaused { check.find(.failed, "connections cannot be accepted") }
        let files = "\(facts.openFiles) of \(facts.openFilesMaximum) descriptors"
        check.find(facts.openFiles * 10 > facts.openFilesMaximum * 9 ? .degraded : .healthy, files)
        let connections = "\(facts.connections) of \(facts.connectionsMaximum) connections"
        check.find(facts.connections * 10 > facts.connectionsMaximum * 9 ? .degraded : .healthy, connections)
        return check
    }

    private func memoryHealth() -> HealthCheck {
        var check = HealthCheck("memory")
        guard let loop else { return check }
        let held = BrokerSession.size(Int64(loop.heldBytes))
        let budget = loop.memoryBudget == .max ? "any" : BrokerSession.size(Int64(loop.memoryBudget))
        check.find(loop.isMemoryShort ? .degraded : .healthy, "peers hold \(held) of \(budget)")
        if flushedGate.isFull { check.find(.degraded, "answers that wait for the disk are as many as may be") }
        if let facts = processFacts?() {
            check.find(.healthy, "the process has \(BrokerSession.size(Int64(facts.residentBytes)))")
        }
        return check
    }

    // MARK: - Metrics

    /// Every refusal and every fault, by kind. Whoever adds a reason to refuse (transport security, access control) counts it
    /// in ``countRefusal(_:)`` by its code, or adds a line here.
    func addFaults(to table: inout [String: String]) {
        for check in health() { table["health.\(check.name)"] = check.text }
        for (code, count) in refusals { table["refusals.\(ResponseCode(code))"] = String(count) }
        let metrics = broker.metrics
        table["quotaWaits"] = String(metrics.quotaWaits)
        table["quotaRefusals"] = String(metrics.quotaRefusals)
        table["limitRefusals"] = String(metrics.limitRefusals)
        table["holdRefusals"] = String(metrics.holdRefusals)
        table["flushTimeouts"] = String(flushTimeouts)
        table["damagedRecords"] = String(broker.store.metrics.damagedRecords)
        table["damagedQueueEntries"] = String(broker.store.metrics.damagedEntries)
        table["mendedQueueEntries"] = String(broker.store.metrics.mendedEntries)
        table["missingMessages"] = String(broker.store.metrics.missingMessages)
        let faults = broker.store.faults
        for (operation, count) in faults.counts {
            table["diskFaults.\(operation.replacing(" ", with: "_"))"] = String(count)
        }
        table["diskFaults"] = String(faults.total)
        table["diskFullRefusals"] = String(faults.full)
        table["clockJumps"] = String(clockWatch.jumps)
        table["clockDriftMillis"] = String(clockWatch.drift)
        table["flushBehindMillis"] = String(flushBehindMilliseconds)
        table["answersWaitingForFlush"] = String(flushedGate.count)
        table["heldPulls"] = String(broker.heldFetchCount)
        table["members"] = String(broker.members.count)
        guard let loop else { return }
        let counters = loop.counters
        table["connections"] = String(counters.connections)
        table["connectionsAccepted"] = String(counters.accepted)
        for refusal in Listener.Refusal.allCases {
            table["connectionsRefused.\(refusal)"] = String(counters.refusals[refusal.rawValue])
        }
        table["connectionsMalformed"] = String(counters.malformed)
        table["connectionsPenalties"] = String(counters.penalties)
        table["connectionsShed"] = String(counters.shed)
        table["connectionsIdle"] = String(counters.idle)
        table["connectionsOutputOverflow"] = String(counters.outputOverflows)
        table["peerMemoryBytes"] = String(loop.heldBytes)
        if let facts = processFacts?() {
            table["openFiles"] = String(facts.openFiles)
            table["openFilesMaximum"] = String(facts.openFilesMaximum)
            table["residentBytes"] = String(facts.residentBytes)
        }
    }
}
