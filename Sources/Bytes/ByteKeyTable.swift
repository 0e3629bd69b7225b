/// A hash table from names to values that is asked with borrowed bytes: a lookup makes no String and allocates nothing.
///
/// Open addressing with linear probing; at most half full, so a miss ends soon. Names are compared byte by byte. All of them
/// lie one behind the other in one row of bytes, so that a lookup among thousands visits two places of memory and not four.
public struct ByteKeyTable<Value> {
    @usableFromInline
    struct Slot {
        @usableFromInline var hash: UInt64 = 0
        /// Where the name lies in ``names``.
        @usableFromInline var start: Int32 = 0
        @usableFromInline var length: Int32 = 0
        /// Nil when the slot is free.
        @usableFromInline var value: Value?
    }

    @usableFromInline var slots: [Slot]
    @usableFromInline var names: [UInt8] = []
    public private(set) var count = 0

    public init() { slots = [Slot](repeating: Slot(), count: 16) }

    /// The value under `key`, or nil.
    @inlinable
    public subscript(key: RawSpan) -> Value? { find(key, Self.hash(key)).flatMap { slots[$0].value } }

    /// The slot of `key`, or nil.
    @inlinable
    func find(_ key: RawSpan, _ hash: UInt64) -> Int? {
        var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[index].value != nil {
            if slots[index].hash == hash, isName(of: index, key) { return index }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    @inlinable
    func isName(of index: Int, _ key: RawSpan) -> Bool {
        let start = Int(slots[index].start)
        return names.span.bytes.extracting(start..<start + Int(slots[index].length)).equals(key)
    }

    /// The value under `name`, or nil. Setting nil removes it.
    public subscript(name: String) -> Value? {
        get { self[Array(name.utf8).span.bytes] }
        set {
            if let newValue { insert(Array(name.utf8), newValue) } else { remove(Array(name.utf8)) }
        }
    }

    /// All values, in no particular order.
    public var values: [Value] { slots.compactMap { $0.value } }

    private mutating func insert(_ key: [UInt8], _ value: Value) {
        let hash = Self.hash(key.span.bytes)
        if let index = find(key.span.bytes, hash) {
            slots[index].value = value
            return
        }
        precondition(names.count + key.count <= Int32.max, "the names of a table have 2 GiB at the most")
        place(Slot(hash: hash, start: Int32(names.count), length: Int32(key.count), value: value))
        names += key
        count += 1
        if count * 2 > slots.count { rebuild(slotCount: slots.count * 2) }
    }

    private mutating func place(_ slot: Slot) {
        var index = Int(truncatingIfNeeded: slot.hash) & (slots.count - 1)
        while slots[index].value != nil { index = (index + 1) & (slots.count - 1) }
        slots[index] = slot
    }

    /// Entries behind the removed one move up where that brings them nearer to their first slot, so no tombstone is left.
    private mutating func remove(_ key: [UInt8]) {
        guard var hole = find(key.span.bytes, Self.hash(key.span.bytes)) else { return }
        let mask = slots.count - 1
        var next = (hole + 1) & mask
        while slots[next].value != nil {
            let home = Int(truncatingIfNeeded: slots[next].hash) & mask
            if (next - home) & mask >= (next - hole) & mask {
                slots[hole] = slots[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = Slot()
        count -= 1
        // The names of those that were removed stay until they are most of the row.
        unused += key.count
        if unused * 2 > names.count { rebuild(slotCount: slots.count) }
    }

    /// Bytes of ``names`` that belong to nobody.
    private var unused = 0

    private mutating func rebuild(slotCount: Int) {
        let (old, oldNames) = (slots, names)
        slots = [Slot](repeating: Slot(), count: slotCount)
        names = []
        names.reserveCapacity(oldNames.count - unused)
        unused = 0
        for var slot in old where slot.value != nil {
            let start = Int(slot.start)
            slot.start = Int32(names.count)
            names += oldNames[start..<start + Int(slot.length)]
            place(slot)
        }
    }

    /// FNV-1a over eight bytes at a time, with a final mix: quick for short names, spread enough for a table.
    @inlinable
    static func hash(_ key: RawSpan) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ UInt64(key.byteCount)
        var position = 0
        while position + 8 <= key.byteCount {
            hash = (hash ^ key.bigEndian(at: position, as: UInt64.self)) &* 0x0000_0100_0000_01B3
            hash ^= hash >> 29
            position += 8
        }
        while position < key.byteCount {
            hash = (hash ^ UInt64(key.byte(at: position))) &* 0x0000_0100_0000_01B3
            position += 1
        }
        hash ^= hash >> 32
        hash = hash &* 0x9E37_79B9_7F4A_7C15
        return hash ^ (hash >> 32)
    }
}

extension ByteKeyTable.Slot: Sendable where Value: Sendable {}
extension ByteKeyTable: Sendable where Value: Sendable {}
