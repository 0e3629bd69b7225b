/// A rule that a simulation can break on purpose, to show that its checkers notice. All are broken outside the product: in the
/// disk, in the network, on the clock, or behind the broker's back.
public enum BrokenRule: String, CaseIterable, Sendable {
    /// P1: the disk says that it has synchronised and has not.
    case lieAboutFlush = "lie-about-flush"
    /// P1: the store runs with asynchronous flush where synchronous flush was promised.
    case acknowledgeBeforeFlush = "acknowledge-before-flush"
    /// P1: a process that is killed takes what it had written along.
    case forgetWritten = "forget-written"
    /// P2: the network hands over requests that bring messages twice.
    case sendTwice = "send-twice"
    /// P2: a producer commits what it told the oracle to roll back.
    case commitRolledBack = "commit-rolled-back"
    /// P2: a producer ends a half message by a place that another one has, as after a power cut, and does not name it.
    case endByPlace = "end-by-place"
    /// P2: delayed messages are taken back behind the oracle's back.
    case forgetTimer = "forget-timer"
    /// P2: committed offsets go back when a broker starts.
    case regressOffsets = "regress-offsets"
    /// P2: what one offset showed is shown at another.
    case moveOffset = "move-offset"
    /// P2: consumers see what is written where they were to see what is on the medium.
    case showUnflushed = "show-unflushed"
    /// P3: bits of what a broker serves are wrong.
    case serveDamaged = "serve-damaged"
    /// P4: a full disk says that it has written and has not.
    case swallowWhenFull = "swallow-when-full"
    /// P4: a synchronisation that has failed is reported as done.
    case forgiveFailedFlush = "forgive-failed-flush"
    /// P5: a clock leaps by an hour, and the oracle is not told.
    case hideLeap = "hide-leap"
    /// P5: a member takes a queue whose lock it was not given.
    case ignoreLocks = "ignore-locks"
    /// Quotas: the broker has none, and the promise says that it has.
    case overrunQuota = "overrun-quota"
    /// Quotas: a producer takes an acknowledgement for a refusal, so that what was refused is there.
    case storeRefused = "store-refused"
    /// P2: a reply names another client than the one that asked.
    case misdirectReply = "misdirect-reply"
    /// P2: a replier gives replies that it says nothing of.
    case inventReply = "invent-reply"
    /// P1: a requester confirms replies that it has not taken.
    case forgetReply = "forget-reply"
    /// Liveness: a member of a broadcast group leaves a queue to the others.
    case shareBroadcast = "share-broadcast"
    /// P1: segments go before their time.
    case expireEarly = "expire-early"
    /// P1: dead letters go with everything else, although they have a longer time.
    case forgetDeadLetters = "forget-dead-letters"
    /// P2: a queue is said to begin earlier than it did.
    case lowerMinimum = "lower-minimum"
    /// P1: what the log still has is not shown.
    case hideKept = "hide-kept"
    /// A partition is never healed: nothing gets done any more.
    case neverHeal = "never-heal"

    /// What its break may be noticed as: the promises, or `liveness` when what is missing never comes.
    public var promises: [String] {
        switch self {
        case .lieAboutFlush: ["P1", "P3"]
        case .acknowledgeBeforeFlush, .forgetWritten: ["P1"]
        case .sendTwice, .commitRolledBack, .regressOffsets, .moveOffset: ["P2"]
        case .forgetTimer, .endByPlace: ["P2", "liveness"]
        // The bit may be one of the record's place.
        case .serveDamaged: ["P2", "P3"]
        case .swallowWhenFull: ["P1", "P2", "P3", "P4", "liveness"]
        case .forgiveFailedFlush: ["P1"]
        case .hideLeap, .ignoreLocks: ["P5"]
        case .overrunQuota: ["quota"]
        case .storeRefused, .misdirectReply, .inventReply, .lowerMinimum, .showUnflushed: ["P2"]
        case .forgetReply, .expireEarly, .forgetDeadLetters: ["P1"]
        case .hideKept: ["P1", "P2"]
        case .neverHeal, .shareBroadcast: ["liveness"]
        }
    }

    /// The rule is about what goes from the log.
    var needsRetention: Bool { self == .expireEarly || self == .forgetDeadLetters || self == .lowerMinimum }
}
