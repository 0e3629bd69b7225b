import Base
import Bytes

/// The durable marks from which a start continues: the file `checkpoint`, 4 KiB.
///
///     offset  size  field
///          0     8  store time of the newest record on the medium (RocketMQ: physicMsgTimestamp)
///          8     8  the same for the consume queues (logicsMsgTimestamp)
///         16     8  the same for the message index (indexMsgTimestamp)
///       1024    68  slot A
///       2048    68  slot B
///
/// A slot:
///
///     offset  size  field
///          0     8  "APUSCKP1"
///          8     8  sequence: the higher of two whole slots counts
///         16     8  views offset: consume queues and index hold everything before
///         24     8  state offset: the snapshot holds every state record before
///         32     8  flushed offset: the log is on the medium before
///         40     8  1 when the process stopped in good order, else 0
///         48     8  store time of the newest record before the views offset (ms)
///         56     8  snapshot offset: the name of the snapshot's file; -1 when there is none
///         64     4  CRC-32 of the 64 bytes before
///
/// The slots are written in turn, so that a torn write leaves the other. The three times are for RocketMQ, which reads this
/// file too.
struct Checkpoint: Equatable {
    var sequence: UInt64 = 0
    var viewsOffset = PhysicalOffset.zero
    var stateOffset = PhysicalOffset.zero
    var flushedOffset = PhysicalOffset.zero
    var isCleanStop = false
    var storeTimestamp = Timestamp(milliseconds: 0)
    var snapshotOffset: PhysicalOffset?
}

/// What the first 24 bytes say, which a store of RocketMQ has too.
struct CheckpointTimes: Equatable {
    var log: Int64
    var consumeQueue: Int64
    var index: Int64
    var minimum: Int64 { min(log, consumeQueue, index) }
}

enum CheckpointFile {
    static let name = "checkpoint"
    static let size = 4096
    static let slotPositions = [1024, 2048]
    static let slotSize = 68
    private static let magic: UInt64 = 0x4150_5553_434B_5031  // "APUSCKP1"
    /// 4 EiB.
    private static let numberMaximum: Int64 = 1 << 62

    /// The newest whole slot of the file's bytes, or nil.
    static func decode(_ bytes: RawSpan) -> Checkpoint? {
        slotPositions.compactMap { position -> Checkpoint? in
            guard isWhole(bytes, at: position) else { return nil }
            let slot = bytes.extracting(position..<position + slotSize)
            // No slot was ever written with such numbers; counting on from them would overflow.
            let numbers = [8, 16, 24, 32].map { slot.bigEndian(at: $0, as: Int64.self) }
            guard numbers.allSatisfy({ (0...numberMaximum).contains($0) }),
                slot.bigEndian(at: 56, as: Int64.self) <= numberMaximum
            else { return nil }
            let snapshotOffset = slot.bigEndian(at: 56, as: Int64.self)
            return Checkpoint(
                sequence: slot.bigEndian(at: 8),
                viewsOffset: PhysicalOffset(slot.bigEndian(at: 16)),
                stateOffset: PhysicalOffset(slot.bigEndian(at: 24)),
                flushedOffset: PhysicalOffset(slot.bigEndian(at: 32)),
                isCleanStop: slot.bigEndian(at: 40, as: Int64.self) == 1,
                storeTimestamp: Timestamp(milliseconds: slot.bigEndian(at: 48)),
                snapshotOffset: snapshotOffset >= 0 ? PhysicalOffset(snapshotOffset) : nil)
        }.max { $0.sequence < $1.sequence }
    }

    /// Whether a slot that matches its checksum begins at `position`.
    static func isWhole(_ bytes: RawSpan, at position: Int) -> Bool {
        guard bytes.byteCount >= position + slotSize else { return false }
        let slot = bytes.extracting(position..<position + slotSize)
        return slot.bigEndian(at: 0, as: UInt64.self) == magic
            && slot.bigEndian(at: 64, as: UInt32.self) == crc32(slot.extracting(0..<64))
    }

    /// RocketMQ's three times; nil when the file is too short.
    static func times(_ bytes: RawSpan) -> CheckpointTimes? {
        guard bytes.byteCount >= 24 else { return nil }
        return CheckpointTimes(
            log: bytes.bigEndian(at: 0), consumeQueue: bytes.bigEndian(at: 8), index: bytes.bigEndian(at: 16))
    }

    /// Writes one slot and the times. In the page cache on return.
    static func write(_ checkpoint: Checkpoint, to file: any DiskFile) throws(DiskError) {
        let slot = ByteBuffer(capacity: slotSize)
        slot.append(bigEndian: magic)
        slot.append(bigEndian: checkpoint.sequence)
        slot.append(bigEndian: checkpoint.viewsOffset.rawValue)
        slot.append(bigEndian: checkpoint.stateOffset.rawValue)
        slot.append(bigEndian: checkpoint.flushedOffset.rawValue)
        slot.append(bigEndian: Int64(checkpoint.isCleanStop ? 1 : 0))
        slot.append(bigEndian: checkpoint.storeTimestamp.milliseconds)
        slot.append(bigEndian: checkpoint.snapshotOffset?.rawValue ?? -1)
        slot.append(bigEndian: crc32(slot.bytes))
        try file.write(slot.bytes, at: slotPositions[Int(checkpoint.sequence % 2)])
        let times = ByteBuffer(capacity: 24)
        for _ in 0..<3 { times.append(bigEndian: checkpoint.storeTimestamp.milliseconds) }
        try file.write(times.bytes, at: 0)
    }
}
