import Base
import Model

/// How delayed messages wait, and how eagerly they are delivered.
public struct TimerConfiguration: Sendable {
    /// The delays of the levels, by level less 1, in ms (`messageDelayLevel`).
    public var delayLevels = DelayLevels.milliseconds
    /// Longest time that a record waits in its slot, in ms; a message that is due later is moved to another slot then. It must
    /// be shorter than what the ring holds, and should be well below the time that segments are kept.
    public var windowMilliseconds: Int64 = 24 * 3_600_000
    /// Timers of the near future that are held in memory, 32 bytes each.
    public var heapMaximum = 262_144
    /// What one turn delivers at the most, so that no turn becomes long.
    public var messagesPerTurn = 256
    public var bytesPerTurn = 1024 * 1024
    /// Consume queue entries that one turn looks at.
    public var entriesPerTurn = 8_192
    /// Records that are brought from the medium at a time.
    public var prefetchesMaximum = 32
    /// How long delivery rests when the store takes no messages, in ms.
    public var blockedMilliseconds: Int64 = 1_000
    /// Whether delayed messages can be recalled (`recallMessageEnable`).
    public var allowsRecall = true

    public init() {}

    /// The delay of a level; levels above the last count as the last.
    /// - Parameter level: from 1.
    public func delay(level: Int64) -> Int64 {
        guard !delayLevels.isEmpty else { return 0 }
        return delayLevels[Int(min(max(level, 1), Int64(delayLevels.count))) - 1]
    }
}

/// The slots of the timer wheel: the queues of `SystemTopics/timerWheel`, each for five minutes of wall clock, used again and
/// again. Part of the store's format.
enum TimerRing {
    static let slotMilliseconds: Int64 = 300_000
    /// 25 hours.
    static let slotCount = 300
    /// Slots that stay free between the end of the longest window and now, so that a record is not put into a slot that is being
    /// worked off.
    static let windowMaximum = Int64(slotCount - 6) * slotMilliseconds

    static func slot(_ wake: Int64) -> Int {
        let number = Int(floor(wake) % Int64(slotCount))
        return number < 0 ? number + slotCount : number
    }

    /// The first moment behind the slot that `wake` lies in.
    static func end(_ wake: Int64) -> Int64 { (floor(wake) + 1) * slotMilliseconds }

    private static func floor(_ wake: Int64) -> Int64 {
        wake >= 0 ? wake / slotMilliseconds : (wake + 1) / slotMilliseconds - 1
    }

    /// The queues of RocketMQ's schedule topic have these numbers among the pending queues, from here on: a store that RocketMQ
    /// wrote may hold delayed messages there.
    static let scheduleBase = 1_000
    /// Levels that RocketMQ may have had.
    static let scheduleMaximum = 64
}
