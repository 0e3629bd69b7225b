/// The unanswered requests of one connection, by their opaque. Has a fixed number of slots and allocates nothing.
///
/// An opaque is 1,000,000,000 plus a number that gives the slot and how often it was used, so that an answer that comes after
/// its request was given up finds nothing. All opaques have ten digits.
struct InFlight {
    struct Slot {
        /// 0 when free.
        var opaque: Int32 = 0
        /// When the request should have been sent, and when it was, in nanoseconds.
        var intended: Int64 = 0
        var sent: Int64 = 0
        /// The first message's.
        var sequence: Int64 = 0
        /// Issued while figures are taken.
        var isMeasured = false
    }
    private var slots: ContiguousArray<Slot>
    private var free: ContiguousArray<Int32>
    /// Uses so far; wraps before opaques would get an eleventh digit or leave 32 bits.
    private var uses: Int32 = 0
    private let usesLimit: Int32

    static let firstOpaque: Int32 = 1_000_000_000
    private static let range: Int32 = 1_000_000_000

    init(slots count: Int) {
        precondition(count > 0 && count <= 1_000_000, "\(count) unanswered requests on one connection")
        slots = ContiguousArray(repeating: Slot(), count: count)
        free = ContiguousArray((0..<Int32(count)).reversed())
        usesLimit = Self.range / Int32(count)
    }

    var hasFree: Bool { !free.isEmpty }
    var isEmpty: Bool { free.count == slots.count }
    var count: Int { slots.count - free.count }

    /// Takes a free slot.
    /// - Returns: the opaque for the request.
    /// - Precondition: ``hasFree``.
    mutating func begin(intended: Int64, sent: Int64, sequence: Int64, isMeasured: Bool) -> Int32 {
        guard let index = free.popLast() else { preconditionFailure("no slot is free") }
        uses = uses + 1 < usesLimit ? uses + 1 : 0
        let opaque = Self.firstOpaque + uses * Int32(slots.count) + index
        slots[Int(index)] = Slot(
            opaque: opaque, intended: intended, sent: sent, sequence: sequence, isMeasured: isMeasured)
        return opaque
    }

    /// Frees the slot of an answered request; nil when no unanswered request has this opaque.
    mutating func end(_ opaque: Int32) -> Slot? {
        guard opaque >= Self.firstOpaque else { return nil }
        let index = Int((opaque - Self.firstOpaque) % Int32(slots.count))
        let slot = slots[index]
        guard slot.opaque == opaque else { return nil }
        slots[index].opaque = 0
        free.append(Int32(index))
        return slot
    }

    /// Gives up all requests sent before `limit` and hands them to `body`.
    mutating func expire(sentBefore limit: Int64, _ body: (Slot) -> Void) {
        for index in slots.indices where slots[index].opaque != 0 && slots[index].sent < limit {
            body(slots[index])
            slots[index].opaque = 0
            free.append(Int32(index))
        }
    }
}
