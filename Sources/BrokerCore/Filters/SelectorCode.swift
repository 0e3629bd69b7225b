/// What a parser makes and a program runs. Every type here is plain memory.
///
/// Conditions leave their value on a stack; the operands of a comparison are looked up when it runs, or, when they are
/// conditions themselves, taken from the stack.
struct SelectorCode {
    var instructions: [Instruction] = []
    var elements: [Text] = []
    var names: [Text] = []
    var pool: [UInt8] = []
    /// The deepest that the stack becomes.
    var stackMaximum = 0
}

/// True, false, or unknown, because a property is missing.
enum Truth: UInt8 {
    case no
    case yes
    case unknown

    @inline(__always)
    init(_ isTrue: Bool) { self = isTrue ? .yes : .no }

    @inline(__always)
    var inverse: Truth {
        switch self {
        case .no: .yes
        case .yes: .no
        case .unknown: .unknown
        }
    }

    @inline(__always)
    func and(_ other: Truth) -> Truth {
        if self == .no || other == .no { return .no }
        return self == .yes && other == .yes ? .yes : .unknown
    }

    @inline(__always)
    func or(_ other: Truth) -> Truth {
        if self == .yes || other == .yes { return .yes }
        return self == .no && other == .no ? .no : .unknown
    }
}

/// A range of bytes: of the pool, or of a message's properties.
struct Text: BitwiseCopyable {
    var start: Int32
    var count: Int32

    static let absent = Text(0..<0)

    @inline(__always)
    init(_ range: Range<Int>) {
        start = Int32(truncatingIfNeeded: range.lowerBound)
        count = Int32(truncatingIfNeeded: range.count)
    }

    @inline(__always)
    var range: Range<Int> { Int(start)..<Int(start) + Int(count) }

    @inline(__always)
    func bytes(in whole: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: whole[range])
    }

    /// The order of the elements of a list: by length, then by bytes.
    static func isOrdered(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        left.count != right.count ? left.count < right.count : left.lexicographicallyPrecedes(right)
    }
}

enum Comparison: UInt8 {
    case equal
    case notEqual
    case less
    case lessOrEqual
    case greater
    case greaterOrEqual

    var isEquality: Bool { self == .equal || self == .notEqual }

    /// Whether it holds of two values whose order is below 0, 0 or above 0.
    @inline(__always)
    func holds(_ order: Int) -> Bool {
        switch self {
        case .equal: order == 0
        case .notEqual: order != 0
        case .less: order < 0
        case .lessOrEqual: order <= 0
        case .greater: order > 0
        case .greaterOrEqual: order >= 0
        }
    }
}

enum Search: UInt8 {
    case contains
    case startsWith
    case endsWith
}

/// One side of a comparison.
enum Operand: BitwiseCopyable {
    case property(Int32)
    case text(Text)
    case integer(Int64)
    case decimal(Double)
    case boolean(Bool)
    case null
    /// The value of a condition, from the stack.
    case result
}

/// What an operand is for the message at hand.
enum Value {
    case null
    case text(UnsafeRawBufferPointer)
    case integer(Int64)
    case decimal(Double)
    case boolean(Bool)

    @inline(__always)
    var isNull: Bool { if case .null = self { true } else { false } }
}

enum Instruction: BitwiseCopyable {
    /// A property beside an integer: the comparison that is written most often.
    case compareInteger(Int32, Comparison, Int64)
    /// The right operand is taken from the stack before the left one.
    case compare(Comparison, Operand, Operand)
    case isNull(Operand, isNegated: Bool)
    case isIn(Int32, first: Int32, count: Int32, isNegated: Bool)
    case search(Search, Operand, Text, isNegated: Bool)
    /// A property as a condition: false when it is there, for a text is no truth value.
    case cast(Int32)
    case constant(Truth)
    case not
    case and
    case or
    /// Goes on at a later instruction when the top of the stack is this already, and leaves it there.
    case skip(ifTop: Truth, target: Int32)
}
