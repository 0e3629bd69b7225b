import Base

/// Addresses that are trusted, as RocketMQ's access control spells them:
///
///     *                        every address
///     192.0.2.7                one address, of either family
///     192.0.2.*, 192.0.*.*     any number in a place
///     192.0.2.1-20             a range in a place
///     192.0.2.{7,8}            several numbers in the last place
///     192.0.2.0/24, fd00::/8   a network (not RocketMQ's)
///
/// Several patterns are joined by commas; ``list(_:)`` reads them.
public enum AddressPattern: Hashable, Sendable {
    case any
    /// Numbers that each of the four places may have.
    case ipv4([Set<UInt8>])
    /// The first `bits` bits of an address.
    case network(high: UInt64, low: UInt64, bits: Int, isIPv6: Bool)

    public func matches(_ address: HostAddress) -> Bool {
        switch self {
        case .any: return true
        case .ipv4(let places):
            guard !address.isIPv6 else { return false }
            return zip(places, [24, 16, 8, 0]).allSatisfy { allowed, shift in
                allowed.contains(UInt8(truncatingIfNeeded: address.ipv4 >> UInt32(shift)))
            }
        case .network(let high, let low, let bits, let isIPv6):
            guard address.isIPv6 == isIPv6 else { return false }
            let (highMask, lowMask) = Self.masks(bits)
            return (address.high ^ high) & highMask == 0 && (address.low ^ low) & lowMask == 0
        }
    }

    private static func masks(_ bits: Int) -> (UInt64, UInt64) {
        (bits == 0 ? 0 : UInt64.max << UInt64(64 - min(bits, 64)), bits <= 64 ? 0 : UInt64.max << UInt64(128 - bits))
    }

    /// The patterns that `text` spells, joined by commas; nil when one of them is none. Blank text is no pattern.
    public static func list(_ text: String) -> [AddressPattern]? {
        var result: [AddressPattern] = []
        for part in split(text) {
            guard let pattern = AddressPattern(part) else { return nil }
            result.append(pattern)
        }
        return result
    }

    /// The patterns of `text` one by one, whether they are any or not: cut at commas outside of braces.
    public static func split(_ text: String) -> [String] {
        var parts = [""]
        var depth = 0
        for character in text where character != " " {
            if character == "{" { depth += 1 }
            if character == "}" { depth -= 1 }
            if character == ",", depth == 0 { parts.append("") } else { parts[parts.count - 1].append(character) }
        }
        return parts.filter { !$0.isEmpty }
    }

    /// One pattern.
    public init?(_ text: String) {
        if text == "*" || text == "*.*.*.*" || text == "*:*:*:*:*:*:*:*" {
            self = .any
        } else if text.contains("/") || text.contains(":") {
            guard let network = Self.network(text) else { return nil }
            self = network
        } else {
            let places = text.split(separator: ".", omittingEmptySubsequences: false).map(Self.place)
            guard places.count == 4, places.dropLast().allSatisfy({ $0?.isList != true }) else { return nil }
            let numbers = places.compactMap { $0?.numbers }
            guard numbers.count == 4 else { return nil }
            self = .ipv4(numbers)
        }
    }

    private static func place(_ text: Substring) -> (numbers: Set<UInt8>, isList: Bool)? {
        if text == "*" { return (Set(0...255), false) }
        if text.hasPrefix("{"), text.hasSuffix("}") {
            let parts = text.dropFirst().dropLast().split(separator: ",", omittingEmptySubsequences: false)
            let numbers = parts.compactMap(number)
            return numbers.count == parts.count && !numbers.isEmpty ? (Set(numbers), true) : nil
        }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map(number)
        switch ends.count {
        case 1: return ends[0].map { ([$0], false) }
        case 2:
            guard let first = ends[0], let last = ends[1], first <= last else { return nil }
            return (Set(first...last), false)
        default: return nil
        }
    }

    private static func number(_ text: some StringProtocol) -> UInt8? {
        text.isEmpty || text.contains { !$0.isASCII || !$0.isNumber } ? nil : UInt8(text)
    }

    private static func network(_ text: String) -> AddressPattern? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = parts.first else { return nil }
        let isIPv6 = first.contains(":")
        let size = isIPv6 ? 128 : 32
        var bits = size
        if parts.count == 2 {
            guard let number = number(parts[1]), Int(number) <= size else { return nil }
            bits = Int(number)
        }
        if isIPv6 {
            guard let (high, low) = ipv6(first) else { return nil }
            return .network(high: high, low: low, bits: bits, isIPv6: true)
        }
        guard let address = HostAddress(ipv4: String(first), port: 0) else { return nil }
        return .network(high: address.high, low: 0, bits: bits, isIPv6: false)
    }

    /// Up to eight groups of hexadecimal digits, `::` standing once for as many zeros as are missing (RFC 4291 §2.2).
    private static func ipv6(_ text: Substring) -> (UInt64, UInt64)? {
        let halves = text.split(separator: "::", omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return nil }
        var groups: [[UInt16]] = []
        for half in halves {
            let parts = half.isEmpty ? [] : half.split(separator: ":", omittingEmptySubsequences: false)
            let numbers = parts.compactMap { $0.count <= 4 ? UInt16($0, radix: 16) : nil }
            guard numbers.count == parts.count else { return nil }
            groups.append(numbers)
        }
        let count = groups.reduce(0) { $0 + $1.count }
        guard halves.count == 2 ? count < 8 : count == 8 else { return nil }
        let zeros = [UInt16](repeating: 0, count: 8 - count)
        let all = groups[0] + zeros + (groups.count == 2 ? groups[1] : [])
        let words = all.map(UInt64.init)
        return (
            words[0] << 48 | words[1] << 32 | words[2] << 16 | words[3],
            words[4] << 48 | words[5] << 32 | words[6] << 16 | words[7]
        )
    }
}
