import Base

/// Reads an SQL92 expression and writes its program, in one pass. The grammar is that of RocketMQ's `SelectorParser.jj`
/// (remoting reference §1.15):
///
///     or          = and { OR and }
///     and         = equality { AND equality }
///     equality    = comparison { ( = | <> ) comparison  |  IS [NOT] NULL }
///     comparison  = unary { ( > | >= | < | <= ) unary
///                         | [NOT] ( CONTAINS | STARTSWITH | ENDSWITH ) text
///                         | [NOT] BETWEEN unary AND unary
///                         | [NOT] IN ( text { , text } ) }
///     unary       = + unary  |  - unary  |  NOT unary  |  primary
///     primary     = literal  |  property  |  ( or )
///
/// One difference: RocketMQ stops reading where the expression could end, and leaves the rest without a word; here the rest is
/// an error.
struct SelectorParser {
    private var lexer: SelectorLexer
    private var token = SelectorToken(kind: .end, range: 0..<0)
    private var code = SelectorCode()
    private var slots: [String: Int32] = [:]
    /// How deep the stack is where the next instruction runs.
    private var stackDepth = 0
    private var depth = 0
    private var terms = 0

    /// What a part of the expression turned out to be. The value of a condition is on the stack already, except of literals.
    private struct Part {
        var operand: Operand
        /// RocketMQ's `BooleanExpression`: may stand beside AND, and has no order.
        var isCondition = false
        var isLiteral = false
        /// Where it begins.
        var offset: Int
    }

    /// - Throws: ``SelectorError`` when the expression is longer than `Limits/selectorLengthMaximum`.
    init(_ expression: String) throws(SelectorError) {
        lexer = SelectorLexer(expression)
        guard lexer.bytes.count <= Limits.selectorLengthMaximum else {
            throw SelectorError(
                character: 1,
                reason:
                    "the expression has \(lexer.bytes.count) bytes, at most \(Limits.selectorLengthMaximum) are read")
        }
    }

    mutating func parse() throws(SelectorError) -> SelectorCode {
        try advance()
        if token.kind == .end { throw error("the expression is empty, expected a condition") }
        try condition(try or())
        guard token.kind == .end else {
            throw error(expected: "AND, OR, a comparison or the end of the expression")
        }
        return code
    }

    // MARK: - Conditions

    private mutating func or() throws(SelectorError) -> Part {
        try chain(.or, stopsAt: .yes, .or) { (parser) throws(SelectorError) in try parser.and() }
    }

    private mutating func and() throws(SelectorError) -> Part {
        try chain(.and, stopsAt: .no, .and) { (parser) throws(SelectorError) in try parser.equality() }
    }

    /// Conditions with one word between them. When one decides the whole, the rest is skipped.
    private mutating func chain(
        _ keyword: SelectorKeyword, stopsAt truth: Truth, _ instruction: Instruction,
        _ next: (inout SelectorParser) throws(SelectorError) -> Part
    ) throws(SelectorError) -> Part {
        let first = try next(&self)
        guard token.kind == .keyword(keyword) else { return first }
        try condition(first)
        var skips: [Int] = []
        while token.kind == .keyword(keyword) {
            try advance()
            skips.append(code.instructions.count)
            emit(.skip(ifTop: truth, target: 0), pops: 0, pushes: 0)
            try condition(try next(&self))
            emit(instruction, pops: 2, pushes: 1)
        }
        for skip in skips {
            code.instructions[skip] = .skip(ifTop: truth, target: Int32(code.instructions.count))
        }
        return Part(operand: .result, isCondition: true, offset: first.offset)
    }

    /// Sees to it that the part's value is on the stack.
    private mutating func condition(_ part: Part) throws(SelectorError) {
        switch part.operand {
        case .result: return
        case .property(let slot): emit(.cast(slot), pops: 0, pushes: 1)
        case .boolean(let boolean): emit(.constant(Truth(boolean)), pops: 0, pushes: 1)
        case .null where part.isCondition: emit(.constant(.unknown), pops: 0, pushes: 1)
        default: throw lexer.error(at: part.offset, "expected a condition, found a value")
        }
    }

    private mutating func equality() throws(SelectorError) -> Part {
        var left = try comparison()
        while true {
            switch token.kind {
            case .symbol(.equal): left = try equality(left, .equal)
            case .symbol(.notEqual): left = try equality(left, .notEqual)
            case .keyword(.is): left = try isNull(left)
            default: return left
            }
        }
    }

    private mutating func equality(_ left: Part, _ comparison: Comparison) throws(SelectorError) -> Part {
        try advance()
        let right = try self.comparison()
        for part in [left, right] where part.isLiteral {
            if case .null = part.operand {
                throw lexer.error(at: part.offset, "nothing equals NULL, expected IS NULL or IS NOT NULL")
            }
        }
        if left.isLiteral, left.isCondition, right.isLiteral, !right.isCondition {
            throw lexer.error(at: right.offset, "expected TRUE, FALSE or a property beside a truth value")
        }
        return compare(left, comparison, right)
    }

    private mutating func isNull(_ left: Part) throws(SelectorError) -> Part {
        try advance()
        let isNegated = try take(.not)
        guard try take(.null) else { throw error(expected: isNegated ? "NULL" : "NULL or NOT NULL") }
        return emit(.isNull(left.operand, isNegated: isNegated), from: [left])
    }

    private mutating func comparison() throws(SelectorError) -> Part {
        var left = try unary()
        while true {
            switch token.kind {
            case .symbol(.greater): left = try order(left, .greater)
            case .symbol(.greaterOrEqual): left = try order(left, .greaterOrEqual)
            case .symbol(.less): left = try order(left, .less)
            case .symbol(.lessOrEqual): left = try order(left, .lessOrEqual)
            case .keyword(.not):
                try advance()
                guard let negated = try predicate(left, isNegated: true) else {
                    throw error(expected: "IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH")
                }
                left = negated
            default:
                guard let part = try predicate(left, isNegated: false) else { return left }
                left = part
            }
        }
    }

    private mutating func order(_ left: Part, _ comparison: Comparison) throws(SelectorError) -> Part {
        try advance()
        let right = try unary()
        try checkOrder(left)
        try checkOrder(right)
        return compare(left, comparison, right)
    }

    /// Conditions, texts, TRUE, FALSE and NULL have no order.
    private func checkOrder(_ part: Part) throws(SelectorError) {
        if case .text = part.operand {
            throw lexer.error(at: part.offset, "texts have no order, expected a number or a property")
        }
        guard !part.isCondition else {
            throw lexer.error(at: part.offset, "truth values have no order, expected a number or a property")
        }
    }

    /// What begins with a word behind the left side; nil when no such word is there.
    private mutating func predicate(_ left: Part, isNegated: Bool) throws(SelectorError) -> Part? {
        switch token.kind {
        case .keyword(.contains): try search(left, .contains, isNegated)
        case .keyword(.startsWith): try search(left, .startsWith, isNegated)
        case .keyword(.endsWith): try search(left, .endsWith, isNegated)
        case .keyword(.between): try between(left, isNegated)
        case .keyword(.in): try list(left, isNegated)
        default: nil
        }
    }

    private mutating func search(
        _ left: Part, _ search: Search, _ isNegated: Bool
    ) throws(SelectorError) -> Part {
        try advance()
        let text = try self.text()
        return emit(.search(search, left.operand, text, isNegated: isNegated), from: [left])
    }

    private mutating func between(_ value: Part, _ isNegated: Bool) throws(SelectorError) -> Part {
        try advance()
        let low = try unary()
        guard try take(.and) else { throw error(expected: "AND between the two bounds") }
        let high = try unary()
        for part in [value, low, high] { try checkOrder(part) }
        if !isNegated, Self.isAbove(low.operand, high.operand) {
            throw lexer.error(at: high.offset, "the upper bound is below the lower one")
        }
        // Each comparison looks its operands up, so the value may stand in both.
        let first = compare(value, isNegated ? .less : .greaterOrEqual, low)
        let skip = code.instructions.count
        emit(.skip(ifTop: isNegated ? .yes : .no, target: Int32(skip + 3)), pops: 0, pushes: 0)
        _ = compare(value, isNegated ? .greater : .lessOrEqual, high)
        emit(isNegated ? .or : .and, pops: 2, pushes: 1)
        return first
    }

    private static func isAbove(_ low: Operand, _ high: Operand) -> Bool {
        switch (low, high) {
        case (.integer(let low), .integer(let high)): low > high
        case (.decimal(let low), .decimal(let high)): low > high
        case (.integer(let low), .decimal(let high)): Double(low) > high
        case (.decimal(let low), .integer(let high)): low > Double(high)
        default: false
        }
    }

    private mutating func list(_ left: Part, _ isNegated: Bool) throws(SelectorError) -> Part {
        guard case .property(let slot) = left.operand else {
            throw lexer.error(at: left.offset, "expected a property before IN")
        }
        try advance()
        guard try take(.open) else { throw error(expected: "( before the texts of the list") }
        let first = code.elements.count
        repeat { code.elements.append(try text()) } while try take(.comma)
        guard try take(.close) else { throw error(expected: ", or ) in the list") }
        sortElements(from: first)
        return emit(
            .isIn(
                slot, first: Int32(first), count: Int32(code.elements.count - first), isNegated: isNegated), from: [])
    }

    private mutating func sortElements(from first: Int) {
        let pool = code.pool
        pool.withUnsafeBytes { pool in
            code.elements[first...].sort { Text.isOrdered($0.bytes(in: pool), $1.bytes(in: pool)) }
        }
    }

    // MARK: - Values

    private mutating func unary() throws(SelectorError) -> Part {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Limits.selectorDepthMaximum else {
            throw error("the expression is nested deeper than \(Limits.selectorDepthMaximum) levels")
        }
        let start = token.range.lowerBound
        if try take(.plus) { return try unary() }
        if try take(.minus) { return try negative(from: start) }
        guard try take(.not) else { return try primary() }
        try condition(try unary())
        emit(.not, pops: 1, pushes: 1)
        return Part(operand: .result, isCondition: true, offset: start)
    }

    private mutating func negative(from start: Int) throws(SelectorError) -> Part {
        // The smallest integer has no positive counterpart.
        if case .integer(1 << 63) = token.kind {
            try countTerm()
            try advance()
            return Part(operand: .integer(.min), isLiteral: true, offset: start)
        }
        var part = try unary()
        part.offset = start
        switch part.operand {
        case .integer(let integer): part.operand = .integer(0 &- integer)
        case .decimal(let decimal): part.operand = .decimal(-decimal)
        case .result: throw lexer.error(at: start, "a condition has no sign, expected NOT")
        // What is no number has no negative: RocketMQ takes it for a value that is always missing.
        default: part = Part(operand: .null, offset: start)
        }
        return part
    }

    private mutating func primary() throws(SelectorError) -> Part {
        let start = token.range.lowerBound
        if try take(.open) {
            var part = try or()
            guard try take(.close) else { throw error(expected: ")") }
            part.offset = start
            return part
        }
        try countTerm()
        let part: Part
        switch token.kind {
        case .property: part = Part(operand: .property(try slot(lexer.spelling(token))), offset: start)
        case .text: part = Part(operand: .text(pooled(lexer.value(ofText: token))), isLiteral: true, offset: start)
        case .integer(let magnitude):
            guard let integer = Int64(exactly: magnitude) else { throw error("the integer needs more than 64 bits") }
            part = Part(operand: .integer(integer), isLiteral: true, offset: start)
        case .decimal(let decimal): part = Part(operand: .decimal(decimal), isLiteral: true, offset: start)
        case .keyword(.true): part = Part(operand: .boolean(true), isCondition: true, isLiteral: true, offset: start)
        case .keyword(.false): part = Part(operand: .boolean(false), isCondition: true, isLiteral: true, offset: start)
        case .keyword(.null): part = Part(operand: .null, isCondition: true, isLiteral: true, offset: start)
        default: throw error(expected: "a property, a literal, NOT or (")
        }
        try advance()
        return part
    }

    private mutating func text() throws(SelectorError) -> Text {
        guard token.kind == .text else { throw error(expected: "a text between single quotes") }
        try countTerm()
        let text = pooled(lexer.value(ofText: token))
        try advance()
        return text
    }

    private mutating func slot(_ name: String) throws(SelectorError) -> Int32 {
        if let known = slots[name] { return known }
        guard slots.count < Limits.selectorPropertiesMaximum else {
            throw error("the expression names more than \(Limits.selectorPropertiesMaximum) properties")
        }
        let slot = Int32(slots.count)
        slots[name] = slot
        code.names.append(pooled(Array(name.utf8)))
        return slot
    }

    private mutating func countTerm() throws(SelectorError) {
        terms += 1
        guard terms <= Limits.selectorTermsMaximum else {
            throw error("the expression has more than \(Limits.selectorTermsMaximum) properties and literals")
        }
    }

    // MARK: - Code

    private mutating func pooled(_ bytes: [UInt8]) -> Text {
        let start = code.pool.count
        code.pool += bytes
        return Text(start..<code.pool.count)
    }

    private mutating func compare(_ left: Part, _ comparison: Comparison, _ right: Part) -> Part {
        if case .property(let slot) = left.operand, case .integer(let integer) = right.operand {
            return emit(.compareInteger(slot, comparison, integer), from: [])
        }
        return emit(.compare(comparison, left.operand, right.operand), from: [left, right])
    }

    /// Writes an instruction that takes its operands from the stack, where they are conditions, and leaves one value.
    private mutating func emit(_ instruction: Instruction, from parts: [Part]) -> Part {
        let pops = parts.count { if case .result = $0.operand { true } else { false } }
        emit(instruction, pops: pops, pushes: 1)
        return Part(operand: .result, isCondition: true, offset: parts.first?.offset ?? token.range.lowerBound)
    }

    private mutating func emit(_ instruction: Instruction, pops: Int, pushes: Int) {
        code.instructions.append(instruction)
        stackDepth += pushes - pops
        code.stackMaximum = max(code.stackMaximum, stackDepth)
    }

    // MARK: - Words

    private mutating func advance() throws(SelectorError) { token = try lexer.next() }

    private mutating func take(_ keyword: SelectorKeyword) throws(SelectorError) -> Bool {
        try take(.keyword(keyword))
    }

    private mutating func take(_ symbol: SelectorSymbol) throws(SelectorError) -> Bool { try take(.symbol(symbol)) }

    private mutating func take(_ kind: SelectorToken.Kind) throws(SelectorError) -> Bool {
        guard token.kind == kind else { return false }
        try advance()
        return true
    }

    private func error(_ reason: String) -> SelectorError { lexer.error(at: token.range.lowerBound, reason) }

    private func error(expected: String) -> SelectorError {
        error("expected \(expected), found \(token.kind == .end ? "the end" : lexer.spelling(token))")
    }
}
