import Base

/// One damage that ``StoreInspection`` found: where, what it means for those who use the store, and what a repair does.
public struct StoreDamage: Equatable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// A write that a crash tore, behind everything that was on the medium.
        case tornTail
        /// Bytes of the log that are no record and do not match their checksum.
        case damagedRecord
        /// The log ends before what the checkpoint says was on the medium.
        case missingTail
        /// A file of the log is not there.
        case missingSegment
        /// A file of the log has the name of another.
        case misplacedSegment
        /// A consume queue lacks messages that the log lacks too.
        case missingMessages
        /// An entry of a consume queue does not lead to its record, or is not there.
        case consumeQueue
        case messageIndex
        /// What says how far the queues reached at the checkpoint.
        case queueTable
        case snapshot
        case checkpoint
    }

    public var kind: Kind
    public var file: String
    /// Where the damage begins in the file, in bytes.
    public var position: Int
    /// How far it reaches, in bytes; 0 when that has no meaning.
    public var length: Int
    public var meaning: String
    /// What `apus store repair` does about it.
    public var remedy: String
    public var isMendable = true

    public init(
        _ kind: Kind, file: String, position: Int, length: Int = 0, meaning: String, remedy: String,
        isMendable: Bool = true
    ) {
        self.kind = kind
        self.file = file
        self.position = position
        self.length = length
        self.meaning = meaning
        self.remedy = remedy
        self.isMendable = isMendable
    }
}

/// What was looked at, and what is damaged.
public struct StoreReport: Equatable, Sendable {
    public var damages: [StoreDamage] = []
    public var segments = 0
    public var records = 0
    public var queues = 0
    public var indexEntries = 0
    public var start = PhysicalOffset.zero
    /// Where the log ends.
    public var end = PhysicalOffset.zero
    /// Up to where the checkpoint says that it is on the medium; nil without a checkpoint of Apus.
    public var flushed: PhysicalOffset?
    public var isForeign = false
    public var wasStoppedCleanly = false
    public var isClean: Bool { damages.isEmpty }
}
