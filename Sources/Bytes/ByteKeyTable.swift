/// A hash table from names to values that is asked with borrowed bytes: a lookup makes no String and allocates nothing.
///
/// Open addressing with linear probing; at most half full, so a miss ends soon. Names are compared byte by byte.
public struct ByteKeyTable<Value> {
    @usableFromInline
    struct Entry {
        @usableFromInline var hash: UInt64
        @usableFromInline var key: [UInt8]
        @usableFromInline var value: Value
    }

    @usableFromInline var slots: [Entry?]
    public private(set) var count = 0

    public init() { slots = [Entry?](repeating: nil, count: 16) }

    /// The value under `key`, or nil.
    @inlinable
    public subscript(key: RawSpan) -> Value? {
        let hash = Self.hash(key)
        var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while let entry = slots[index] {
            if entry.hash == hash, Self.equal(entry.key, key) { return entry.value }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// The value under `name`, or nil. Setting nil removes it.
    public subscript(name: String) -> Value? {
        get { self[Array(name.utf8).span.bytes] }
        set {
            if let newValue { insert(Array(name.utf8), newValue) } else { remove(Array(name.utf8)) }
        }
    }

    /// All values, in no particular order.
    public var values: [Value] { slots.compactMap { $0?.value } }

    private mutating func insert(_ key: [UInt8], _ value: Value) {
        let hash = Self.hash(key.span.bytes)
        var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while let entry = slots[index] {
            if entry.hash == hash, entry.key == key {
                slots[index]?.value = value
                return
            }
            index = (index + 1) & (slots.count - 1)
        }
        slots[index] = Entry(hash: hash, key: key, value: value)
        count += 1
        if count * 2 > slots.count { grow() }
    }

    /// Entries behind the removed one move up where that brings them nearer to their first slot, so no tombstone is left.
    private mutating func remove(_ key: [UInt8]) {
        let mask = slots.count - 1
        var hole = Int(truncatingIfNeeded: Self.hash(key.span.bytes)) & mask
        while let entry = slots[hole], entry.key != key { hole = (hole + 1) & mask }
        guard slots[hole] != nil else { return }
        var next = (hole + 1) & mask
        while let entry = slots[next] {
            let home = Int(truncatingIfNeeded: entry.hash) & mask
            if (next - home) & mask >= (next - hole) & mask {
                slots[hole] = entry
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = nil
        count -= 1
    }

    private mutating func grow() {
        let size = slots.count * 2
        var larger = [Entry?](repeating: nil, count: size)
        for case let entry? in slots {
            var index = Int(truncatingIfNeeded: entry.hash) & (size - 1)
            while larger[index] != nil { index = (index + 1) & (size - 1) }
            larger[index] = entry
        }
        slots = larger
    }

    @inlinable
    static func equal(_ key: [UInt8], _ other: RawSpan) -> Bool { key.span.bytes.equals(other) }

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

extension ByteKeyTable.Entry: Sendable where Value: Sendable {}
extension ByteKeyTable: Sendable where Value: Sendable {}
