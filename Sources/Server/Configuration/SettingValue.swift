import Model

/// A value of a setting after checking.
public enum SettingValue: Sendable, Equatable {
    case boolean(Bool)
    /// A number in the unit of its kind: pieces, bytes, or the unit of a duration.
    case integer(Int64)
    case text(String)
    case list([String])
    case hours([Int])

    /// The value as a file spells it: parsing it again gives the same value.
    public var text: String {
        switch self {
        case .boolean(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .text(let value): value
        case .list(let values): values.joined(separator: ";")
        case .hours(let values): values.map { ($0 < 10 ? "0" : "") + String($0) }.joined(separator: ";")
        }
    }
}

extension Setting.Kind {
    /// The value that `text` spells; nil when it spells none or one out of range.
    public func parse(_ text: String) -> SettingValue? {
        let text = text.trimmingSpaces()
        switch self {
        case .boolean: return Self.boolean(text)
        case .integer(let range): return Self.within(range, Int64(text))
        case .duration(let unit, let range): return Self.within(range, Self.duration(text, in: unit))
        case .bytes(let range): return Self.within(range, Self.bytes(text))
        case .choice(let names):
            return names.first { $0.lowercased() == text.lowercased() }.map { .text($0) }
        case .text, .secret:
            return .text(text)
        case .addresses:
            let parts = text.split(separator: ";").map { String($0).trimmingSpaces() }.filter { !$0.isEmpty }
            return parts.allSatisfy(Self.isAddress) ? .list(parts) : nil
        case .hours:
            let hours = text.split(separator: ";").map { Int(String($0).trimmingSpaces()) }
            guard !hours.isEmpty, hours.allSatisfy({ $0.map((0...23).contains) ?? false }) else { return nil }
            return .hours(hours.compactMap { $0 })
        case .delays:
            return DelayLevels.parse(text) == nil ? nil : .text(text)
        }
    }

    private static func within(_ range: ClosedRange<Int64>, _ value: Int64?) -> SettingValue? {
        value.flatMap { range.contains($0) ? .integer($0) : nil }
    }

    /// Java's `Boolean.parseBoolean` takes anything but "true" for false; a typing error should be told instead.
    private static func boolean(_ text: String) -> SettingValue? {
        switch text.lowercased() {
        case "true": .boolean(true)
        case "false": .boolean(false)
        default: nil
        }
    }

    private static func duration(_ text: String, in unit: Unit) -> Int64? {
        guard let (number, suffix) = split(text) else { return nil }
        if suffix.isEmpty { return number }
        let factors: [String: Int64] = ["ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
        guard let factor = factors[suffix] else { return nil }
        let (milliseconds, overflow) = number.multipliedReportingOverflow(by: factor)
        // A value finer than the unit of the setting would be cut silently: refuse it.
        guard !overflow, milliseconds % unit.rawValue == 0 else { return nil }
        return milliseconds / unit.rawValue
    }

    private static func bytes(_ text: String) -> Int64? {
        guard let (number, suffix) = split(text) else { return nil }
        let shifts: [String: Int64] = ["": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40]
        let plain = suffix.lowercased()
        let unit = plain.hasSuffix("ib") ? String(plain.dropLast(2)) : plain
        guard let shift = shifts[unit] else { return nil }
        let (size, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : size
    }

    /// Digits with an optional sign, then letters.
    private static func split(_ text: String) -> (number: Int64, suffix: String)? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == "-") }
        guard let number = Int64(digits) else { return nil }
        return (number, String(text.dropFirst(digits.count)).trimmingSpaces())
    }

    /// `host:port`, the host being a name, an IPv4 address or an IPv6 address in brackets.
    static func isAddress(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":") else { return false }
        let host = text[..<colon]
        let port = text[text.index(after: colon)...]
        guard let number = UInt16(port), number > 0, !host.isEmpty else { return false }
        return host.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || ".-_[]:%".contains($0)) }
    }
}

extension StringProtocol {
    /// The text without spaces and tabs at both ends.
    func trimmingSpaces() -> String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
        guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
