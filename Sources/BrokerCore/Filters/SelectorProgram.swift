import Base
import Bytes
import Glibc
import Model

/// An SQL92 expression, compiled: decides over the property string of a stored message in place, without allocating.
///
/// The meaning is RocketMQ's (`org.apache.rocketmq.filter`), with its three-valued logic and its conversions: every property
/// is a text; beside a number it is read as one, beside TRUE and FALSE as a truth value. A text that is no number where one
/// is needed fails the whole evaluation, and the message is not delivered. docs/filters.md has the table.
///
/// One thread uses a program: evaluation keeps what it finds in memory of the program's own.
public final class SelectorProgram {
    /// The expression as it was written.
    public let expression: String

    /// How much more work one message is than with an expression of up to 64 steps.
    public var weight: Int { 1 + instructions.count / 64 }

    private let instructions: UnsafeMutableBufferPointer<Instruction>
    /// The elements of all lists, one list after the other; see ``Instruction/isIn(_:first:count:isNegated:)``.
    private let elements: UnsafeMutableBufferPointer<Text>
    /// The names of the properties that the expression looks at; a slot is an index here.
    private let names: UnsafeMutableBufferPointer<Text>
    /// All bytes that a ``Text`` can mean: names and texts of the expression.
    private let pool: UnsafeMutableRawBufferPointer
    /// Where the values are in the message at hand; of length 0 when it has none.
    private let values: UnsafeMutableBufferPointer<Text>
    private let stack: UnsafeMutableBufferPointer<Truth>

    /// - Throws: ``SelectorError`` for what is no expression, and for one beyond the limits (`Limits`).
    public convenience init(_ expression: String) throws(SelectorError) {
        var parser = try SelectorParser(expression)
        self.init(try parser.parse(), expression)
    }

    private init(_ code: SelectorCode, _ expression: String) {
        self.expression = expression
        instructions = Self.copy(code.instructions)
        elements = Self.copy(code.elements)
        names = Self.copy(code.names)
        pool = .allocate(byteCount: max(code.pool.count, 1), alignment: 8)
        pool.copyBytes(from: code.pool)
        values = .allocate(capacity: max(code.names.count, 1))
        values.initialize(repeating: .absent)
        stack = .allocate(capacity: max(code.stackMaximum, 1))
        stack.initialize(repeating: .unknown)
    }

    deinit {
        instructions.deallocate()
        elements.deallocate()
        names.deallocate()
        pool.deallocate()
        values.deallocate()
        stack.deallocate()
    }

    private static func copy<Element: BitwiseCopyable>(_ array: [Element]) -> UnsafeMutableBufferPointer<Element> {
        let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: array.count)
        _ = copy.initialize(fromContentsOf: array)
        return copy
    }

    /// Whether a message with this property string is wanted: the expression is true, not false and not unknown.
    public func matches(_ properties: RawSpan) -> Bool {
        properties.withUnsafeBytes { bytes in
            find(bytes)
            return run(bytes) == .yes
        }
    }

    // MARK: - Properties

    /// Notes where the value of each property lies. Of two properties with one name the last counts, and an empty one is none,
    /// as in RocketMQ.
    @inline(__always)
    private func find(_ properties: UnsafeRawBufferPointer) {
        for slot in 0..<names.count { values[slot] = .absent }
        guard let base = properties.baseAddress else { return }
        var position = 0
        while position < properties.count {
            let rest = properties.count - position
            // SAFETY: memchr looks at no more than the bytes from `position` to the end.
            let found = memchr(base + position, Int32(PropertyName.propertySeparator), rest)
            let end = found.map { UnsafeRawPointer($0) - base } ?? properties.count
            note(base, position..<end)
            position = end + 1
        }
    }

    @inline(__always)
    private func note(_ base: UnsafeRawPointer, _ property: Range<Int>) {
        for slot in 0..<names.count {
            let name = names[slot]
            let separator = property.lowerBound + Int(name.count)
            guard separator + 1 < property.upperBound,
                base.load(fromByteOffset: separator, as: UInt8.self) == PropertyName.nameSeparator,
                let spelling = pooled(name).baseAddress,
                memcmp(base + property.lowerBound, spelling, Int(name.count)) == 0
            else { continue }
            values[slot] = Text(separator + 1..<property.upperBound)
            return
        }
    }

    @inline(__always)
    private func pooled(_ text: Text) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: pool[text.range])
    }

    // MARK: - Evaluation

    /// - Returns: the value of the expression; nil when a text that had to be a number is none.
    private func run(_ properties: UnsafeRawBufferPointer) -> Truth? {
        var top = -1
        var next = 0
        while next < instructions.count {
            let instruction = instructions[next]
            next += 1
            let result: Truth
            switch instruction {
            case .compareInteger(let slot, let comparison, let integer):
                let value = values[Int(slot)]
                if value.count == 0 {
                    result = .unknown
                } else {
                    guard let number = SelectorNumber.integer(value.bytes(in: properties)) else { return nil }
                    result = Truth(comparison.holds(number < integer ? -1 : number == integer ? 0 : 1))
                }
            case .isIn(let slot, let first, let count, let isNegated):
                let value = values[Int(slot)]
                result =
                    value.count == 0
                    ? .unknown
                    : Truth(isElement(value.bytes(in: properties), first: first, count: count) != isNegated)
            case .compare(let comparison, let left, let right):
                let rightValue = self.value(right, properties, &top)
                let leftValue = self.value(left, properties, &top)
                guard let truth = compare(comparison, leftValue, rightValue) else { return nil }
                result = truth
            case .isNull(let operand, let isNegated):
                result = Truth(self.value(operand, properties, &top).isNull != isNegated)
            case .search(let search, let operand, let text, let isNegated):
                result = self.search(
                    search, for: pooled(text), in: self.value(operand, properties, &top), isNegated)
            case .cast(let slot): result = values[Int(slot)].count == 0 ? .unknown : .no
            case .constant(let truth): result = truth
            case .not:
                stack[top] = stack[top].inverse
                continue
            case .and:
                top -= 1
                stack[top] = stack[top].and(stack[top + 1])
                continue
            case .or:
                top -= 1
                stack[top] = stack[top].or(stack[top + 1])
                continue
            case .skip(let truth, let target):
                if stack[top] == truth { next = Int(target) }
                continue
            }
            top += 1
            stack[top] = result
        }
        return stack[top]
    }

    @inline(__always)
    private func value(_ operand: Operand, _ properties: UnsafeRawBufferPointer, _ top: inout Int) -> Value {
        switch operand {
        case .property(let slot):
            let text = values[Int(slot)]
            return text.count == 0 ? .null : .text(text.bytes(in: properties))
        case .text(let text): return .text(pooled(text))
        case .integer(let integer): return .integer(integer)
        case .decimal(let decimal): return .decimal(decimal)
        case .boolean(let boolean): return .boolean(boolean)
        case .null: return .null
        case .result:
            top -= 1
            return stack[top + 1] == .unknown ? .null : .boolean(stack[top + 1] == .yes)
        }
    }

    /// Lists up to this length are walked through.
    private static let shortList = 8

    @inline(__always)
    private func isElement(_ value: UnsafeRawBufferPointer, first: Int32, count: Int32) -> Bool {
        let list = Int(first)..<Int(first) + Int(count)
        guard list.count <= Self.shortList else { return isElement(value, ofLongList: list) }
        for index in list where Self.areEqual(pooled(elements[index]), value) { return true }
        return false
    }

    /// Long lists are sorted (``Text/isOrdered(_:_:)``), so half of what is left is passed over each time.
    private func isElement(_ value: UnsafeRawBufferPointer, ofLongList list: Range<Int>) -> Bool {
        var low = list.lowerBound
        var high = list.upperBound
        while low < high {
            let middle = (low + high) / 2
            if Text.isOrdered(pooled(elements[middle]), value) { low = middle + 1 } else { high = middle }
        }
        return low < list.upperBound && Self.areEqual(pooled(elements[low]), value)
    }

    @inline(__always)
    private static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let leftStart = left.baseAddress, let rightStart = right.baseAddress else { return true }
        return memcmp(leftStart, rightStart, left.count) == 0
    }

    // MARK: - Comparing

    private func compare(_ comparison: Comparison, _ left: Value, _ right: Value) -> Truth? {
        if comparison.isEquality { return equality(left, right).map { comparison == .equal ? $0 : $0.inverse } }
        if left.isNull || right.isNull { return .unknown }
        if case .text(let leftText) = left, case .text(let rightText) = right {
            // Texts have no order, so both must be numbers.
            guard let leftNumber = SelectorNumber.decimal(leftText),
                let rightNumber = SelectorNumber.decimal(rightText)
            else { return nil }
            return Truth(comparison.holds(Self.order(leftNumber, rightNumber)))
        }
        guard let order = order(left, right) else { return nil }
        return Truth(comparison.holds(order))
    }

    /// Equality with a property that is missing is unknown when it stands on the left, and false when it stands on the right:
    /// so RocketMQ has it.
    private func equality(_ left: Value, _ right: Value) -> Truth? {
        if left.isNull { return right.isNull ? .yes : .unknown }
        if right.isNull { return .no }
        if case .text(let leftText) = left, case .text(let rightText) = right {
            return Truth(Self.areEqual(leftText, rightText))
        }
        guard let order = order(left, right) else { return nil }
        return Truth(order == 0)
    }

    /// How two values that are there, and not both texts, stand to each other: below 0, 0, above 0. A truth value and a number
    /// are never equal.
    /// - Returns: nil when a text beside a number is no number of its kind.
    private func order(_ left: Value, _ right: Value) -> Int? {
        switch (left, right) {
        case (.integer(let left), .integer(let right)): left < right ? -1 : left == right ? 0 : 1
        case (.integer(let left), .decimal(let right)): Self.order(Double(left), right)
        case (.decimal(let left), .integer(let right)): Self.order(left, Double(right))
        case (.decimal(let left), .decimal(let right)): Self.order(left, right)
        case (.text(let left), .integer): SelectorNumber.integer(left).flatMap { order(.integer($0), right) }
        case (.integer, .text(let right)): SelectorNumber.integer(right).flatMap { order(left, .integer($0)) }
        case (.text(let left), .decimal): SelectorNumber.decimal(left).flatMap { order(.decimal($0), right) }
        case (.decimal, .text(let right)): SelectorNumber.decimal(right).flatMap { order(left, .decimal($0)) }
        case (.text(let left), .boolean): order(.boolean(Self.isTrue(left)), right)
        case (.boolean, .text(let right)): order(left, .boolean(Self.isTrue(right)))
        case (.boolean(let left), .boolean(let right)): left == right ? 0 : left ? 1 : -1
        default: -1
        }
    }

    /// As Java orders doubles: NaN equals itself and is larger than everything, and 0.0 is larger than -0.0.
    private static func order(_ left: Double, _ right: Double) -> Int {
        if left < right { return -1 }
        if left > right { return 1 }
        let leftBits = left.isNaN ? Int64.max : Int64(bitPattern: left.bitPattern)
        let rightBits = right.isNaN ? Int64.max : Int64(bitPattern: right.bitPattern)
        return leftBits == rightBits ? 0 : leftBits < rightBits ? -1 : 1
    }

    /// The word `true`, in any mixture of capitals.
    private static func isTrue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == 4 else { return false }
        return bytes.loadUnaligned(as: UInt32.self) | 0x2020_2020 == UInt32(bigEndian: 0x7472_7565)
    }

    /// A missing value and an empty text to look for give false, whether negated or not: so RocketMQ has it.
    private func search(
        _ search: Search, for text: UnsafeRawBufferPointer, in value: Value, _ isNegated: Bool
    ) -> Truth {
        guard case .text(let whole) = value, text.count > 0 else { return .no }
        let spare = whole.count - text.count
        guard spare >= 0 else { return Truth(isNegated) }
        let isFound =
            switch search {
            case .startsWith: Self.areEqual(UnsafeRawBufferPointer(rebasing: whole[..<text.count]), text)
            case .endsWith: Self.areEqual(UnsafeRawBufferPointer(rebasing: whole[spare...]), text)
            case .contains: Self.contains(whole, text)
            }
        return Truth(isFound != isNegated)
    }

    /// - Precondition: `text` has at least one byte, and no more than `whole`.
    private static func contains(_ whole: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer) -> Bool {
        guard let base = whole.baseAddress else { return false }
        // Where the text can begin at the latest.
        let end = whole.count - text.count + 1
        var position = 0
        // SAFETY: memchr looks at no more than the bytes from `position` to `end`.
        while position < end, let found = memchr(base + position, Int32(text[0]), end - position) {
            position = UnsafeRawPointer(found) - base
            if areEqual(UnsafeRawBufferPointer(rebasing: whole[position..<position + text.count]), text) { return true }
            position += 1
        }
        return false
    }
}
