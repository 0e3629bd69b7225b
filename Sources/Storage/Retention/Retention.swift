import Base
import Telemetry

/// When segments go, with RocketMQ's names and defaults (remoting reference §2.4).
public struct RetentionConfiguration: Sendable {
    /// `fileReservedTime`: hours that a segment stays after its last write.
    public var reservedHours = 72
    /// `deleteWhen`: the hours of the day at which expired segments go.
    public var deletionHours: Set<Int> = [4]
    /// `diskMaxUsedSpaceRatio`: above it expired segments go at once, whatever the hour.
    public var diskRatioForDeletion = 0.75
    /// `diskSpaceCleanForciblyRatio`: above it the oldest segments go although they have not expired.
    public var diskRatioForForcedDeletion = 0.85
    /// `diskSpaceWarningLevelRatio`: above it messages are refused.
    public var diskRatioForRefusal = 0.90
    /// `cleanFileForciblyEnable`.
    public var isForcedDeletionEnabled = true
    /// How often it is looked after (`cleanResourceInterval`), in ms.
    public var intervalMilliseconds: Int64 = 10_000
    /// Segments that one look removes at the most.
    public var segmentsPerRound = 10
    /// The hour of the day, 0 to 23, in the time zone of the operator. UTC unless set.
    public var hourOfDay: @Sendable (Timestamp) -> Int = { Int($0.milliseconds / 3_600_000 % 24) }

    public init() {}
}

/// What is to be done now.
///
/// | disk in use | hour of deletion | expired segments | the oldest segments | messages |
/// |---|---|---|---|---|
/// | up to 75 % | no | stay | stay | taken |
/// | up to 75 % | yes | go | stay | taken |
/// | above 75 % | – | go | stay | taken |
/// | above 85 % | – | go | go, if allowed | taken |
/// | above 90 % | – | go | go, if allowed | refused |
struct RetentionDecision: Equatable {
    var removesExpired: Bool
    var removesOldest: Bool
    var refusesMessages: Bool

    static func decide(_ configuration: RetentionConfiguration, usedRatio: Double, hour: Int) -> RetentionDecision {
        RetentionDecision(
            removesExpired: usedRatio > configuration.diskRatioForDeletion
                || configuration.deletionHours.contains(hour),
            removesOldest: usedRatio > configuration.diskRatioForForcedDeletion
                && configuration.isForcedDeletionEnabled,
            refusesMessages: usedRatio > configuration.diskRatioForRefusal)
    }
}

/// Removes old segments, and refuses messages while the disk is too full.
final class Retention {
    private let configuration: RetentionConfiguration
    private let clock: any Clock
    private var lastLook: MonotonicTime?
    /// Segments that may still go in this round; each waits until the removal of the one before is durable.
    private var rest = 0
    private var decision = RetentionDecision(removesExpired: false, removesOldest: false, refusesMessages: false)
    /// Messages are refused until there is room again.
    private(set) var refusesMessages = false

    init(configuration: RetentionConfiguration, clock: any Clock) {
        self.configuration = configuration
        self.clock = clock
    }

    func step(_ store: MessageStore) throws(StorageError) {
        let now = clock.monotonic
        if let lastLook {
            guard now.milliseconds(since: lastLook) >= configuration.intervalMilliseconds else {
                return try removeSegment(store)
            }
        }
        lastLook = now
        let space: DiskSpace
        do {
            space = try store.disk.space(at: store.configuration.root)
        } catch {
            throw StorageError(error)
        }
        decision = RetentionDecision.decide(
            configuration, usedRatio: space.usedRatio, hour: configuration.hourOfDay(clock.timestamp))
        if decision.refusesMessages != refusesMessages {
            refusesMessages = decision.refusesMessages
            let used = "\(Int(space.usedRatio * 100)) %"
            if refusesMessages {
                store.log.error("the disk is too full: messages are refused", ["used": used])
            } else {
                store.log.notice("the disk has room again: messages are taken", ["used": used])
            }
        }
        rest = configuration.segmentsPerRound
        try removeSegment(store)
    }

    /// Removes segments that have expired, whatever the hour; as many as one round may, in the next calls of ``step(_:)``.
    func removeExpired(_ store: MessageStore) throws(StorageError) {
        decision.removesExpired = true
        rest = configuration.segmentsPerRound
        try removeSegment(store)
    }

    private func removeSegment(_ store: MessageStore) throws(StorageError) {
        guard rest > 0, !store.commitLog.isRemoving, let oldest = store.commitLog.segments.first else { return }
        guard decision.removesOldest || (decision.removesExpired && isExpired(oldest) && !store.isNeeded(oldest)),
            try store.commitLog.removeFirstSegment(before: store.recoverableWithout)
        else { return rest = 0 }
        rest -= 1
        store.metrics.segmentsRemoved += 1
        store.log.notice("removed a segment of the log", ["segment": oldest.file.path])
        try store.removeIndexFiles(below: store.commitLog.start)
    }

    private func isExpired(_ segment: Segment) -> Bool {
        guard let modified = try? segment.file.modified() else { return false }
        return clock.timestamp.milliseconds - modified.milliseconds >= Int64(configuration.reservedHours) * 3_600_000
    }
}
