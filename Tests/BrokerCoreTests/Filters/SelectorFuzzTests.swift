import Base
import BrokerCore
import Bytes
import Foundation
import Testing

/// Random words of the language, and random changes of good expressions: nothing may trap, and what compiles must run over
/// whatever bytes a record may hold. The same seed makes the same expressions.
@Suite("Random SQL92 expressions")
struct SelectorFuzzTests {
    /// `make seeded-fuzz` sets both.
    static let rounds = ProcessInfo.processInfo.environment["APUS_FUZZ_ROUNDS"].flatMap(Int.init) ?? 4_000
    static let seed = ProcessInfo.processInfo.environment["APUS_FUZZ_SEED"].flatMap(UInt64.init) ?? 1

    static let words = [
        "a", "b", "TAGS", "$x", "5", "0", "-", "+", "5.5", "1e3", "9223372036854775808", "''", "'x'", "'5'", "'it''s'",
        "'",
        "(", ")", ",", "=", "<>", "<", "<=", ">", ">=", "NOT", "AND", "OR", "BETWEEN", "IN", "IS", "NULL", "TRUE",
        "FALSE", "CONTAINS", "STARTSWITH", "ENDSWITH", "--", "/*", "*/", "\n", "ü", "?", "!", ".", "1l", "007",
    ]
    static let originals = [
        "a > 5 AND b IN ('EU','US')", "NOT (a BETWEEN 1 AND 5 OR TAGS = 'x') AND b IS NOT NULL",
        "a = TRUE OR (b > 1) = (a < 2.5e3)", "a NOT CONTAINS 'x' AND b NOT STARTSWITH '5' OR $x ENDSWITH 'y'",
        "a NOT IN ('1','2','3','4','5','6','7','8','9','10') AND -5 < b",
    ]
    static let values = [
        "", "5", "-5", "5.5", "x", "true", "9223372036854775807", "1e3", "NaN", "it's", "\u{1}", " 7 ",
    ]

    @Test("no expression traps", arguments: 1...8)
    func expressions(seed: Int) {
        let random = SeededRandom(seed: Self.seed &* 1_000 &+ UInt64(seed))
        var compiled = 0
        for round in 0..<Self.rounds {
            let expression = round % 2 == 0 ? Self.sentence(random) : Self.changed(random)
            guard let program = try? SelectorProgram(expression) else { continue }
            compiled += 1
            for _ in 0..<3 {
                let bytes = Self.properties(random)
                _ = program.matches(bytes.span.bytes)
            }
        }
        #expect(compiled * 40 > Self.rounds)
    }

    private static func sentence(_ random: SeededRandom) -> String {
        (0...random.next(below: 12)).map { _ in words[random.next(below: words.count)] }.joined(separator: " ")
    }

    private static func changed(_ random: SeededRandom) -> String {
        var bytes = Array(originals[random.next(below: originals.count)].utf8)
        for _ in 0...random.next(below: 4) where !bytes.isEmpty {
            let position = random.next(below: bytes.count)
            switch random.next(below: 4) {
            case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: position)
            case 2: bytes.insert(contentsOf: words[random.next(below: words.count)].utf8, at: position)
            default: bytes.insert(contentsOf: bytes[position..<min(position + 8, bytes.count)], at: position)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func properties(_ random: SeededRandom) -> [UInt8] {
        var text = ""
        for _ in 0..<random.next(below: 5) {
            text += ["a", "b", "TAGS", "$x", "", "ab"][random.next(below: 6)]
            text += ["\u{1}", "\u{1}", "\u{1}", "\u{2}", ""][random.next(below: 5)]
            text += values[random.next(below: values.count)] + "\u{2}"
        }
        var bytes = Array(text.utf8)
        if random.next(below: 3) == 0, !bytes.isEmpty {
            bytes[random.next(below: bytes.count)] = UInt8(truncatingIfNeeded: random.next())
        }
        return bytes
    }

    // MARK: - Against a model

    @Test("the program says what the tree of the expression says", arguments: 1...8)
    func model(seed: Int) throws {
        let random = SeededRandom(seed: Self.seed &* 1_000 &+ UInt64(seed))
        var wanted = 0
        for _ in 0..<Self.rounds / 2 {
            let tree = SelectorModel.random(random, depth: 4)
            let program: SelectorProgram
            do {
                program = try SelectorProgram(tree.text)
            } catch {
                Issue.record("\(tree.text): \(error)")
                continue
            }
            for _ in 0..<4 {
                let values = SelectorModel.randomProperties(random)
                let text = values.map { "\($0.key)\u{1}\($0.value)" }.joined(separator: "\u{2}")
                let bytes = Array(text.utf8)
                let expected = SelectorModel.isWanted(tree, values)
                #expect(program.matches(bytes: bytes) == expected, "\(tree.text) of \(values)")
                if expected { wanted += 1 }
            }
        }
        #expect(wanted * 20 > Self.rounds)
    }
}

/// An expression as a tree, evaluated as RocketMQ's Java classes do it, object by object.
indirect enum SelectorModel {
    case compare(String, Side, Side)
    case isNull(Side, Bool)
    case isIn(String, [String], Bool)
    case search(String, Side, String, Bool)
    case not(SelectorModel)
    case and(SelectorModel, SelectorModel)
    case or(SelectorModel, SelectorModel)
    case between(Side, Side, Side, Bool)
    case literal(Bool?)

    indirect enum Side {
        case property(String)
        case integer(Int64)
        case decimal(Double)
        case text(String)
        case condition(SelectorModel)
    }

    enum Value {
        case null
        case text(String)
        case integer(Int64)
        case decimal(Double)
        case boolean(Bool)
    }

    struct Failure: Error {}

    // MARK: - Text

    var text: String {
        switch self {
        case .compare(let symbol, let left, let right): "\(Self.text(left)) \(symbol) \(Self.text(right))"
        case .isNull(let side, let isNegated): "\(Self.text(side)) IS \(isNegated ? "NOT " : "")NULL"
        case .isIn(let name, let list, let isNegated):
            "\(name) \(isNegated ? "NOT " : "")IN (\(list.map { "'\($0)'" }.joined(separator: ", ")))"
        case .search(let word, let side, let text, let isNegated):
            "\(Self.text(side)) \(isNegated ? "NOT " : "")\(word) '\(text)'"
        case .not(let tree): "NOT (\(tree.text))"
        case .and(let left, let right): "(\(left.text)) AND (\(right.text))"
        case .or(let left, let right): "(\(left.text)) OR (\(right.text))"
        case .between(let value, let low, let high, let isNegated):
            "\(Self.text(value)) \(isNegated ? "NOT " : "")BETWEEN \(Self.text(low)) AND \(Self.text(high))"
        case .literal(let value): value.map { $0 ? "TRUE" : "FALSE" } ?? "NULL"
        }
    }

    private static func text(_ side: Side) -> String {
        switch side {
        case .property(let name): name
        case .integer(let value): "\(value)"
        case .decimal(let value): "\(value)"
        case .text(let text): "'\(text)'"
        case .condition(let tree): "(\(tree.text))"
        }
    }

    // MARK: - Value

    static func isWanted(_ tree: SelectorModel, _ properties: [String: String]) -> Bool {
        ((try? evaluate(tree, properties)) ?? nil) == true
    }

    private static func evaluate(_ tree: SelectorModel, _ properties: [String: String]) throws -> Bool? {
        switch tree {
        case .literal(let value): return value
        case .not(let tree): return try evaluate(tree, properties).map { !$0 }
        case .and(let left, let right):
            let first = try evaluate(left, properties)
            if first == false { return false }
            let second = try evaluate(right, properties)
            if second == false { return false }
            return first == nil || second == nil ? nil : true
        case .or(let left, let right):
            let first = try evaluate(left, properties)
            if first == true { return true }
            let second = try evaluate(right, properties)
            if second == true { return true }
            return first == nil || second == nil ? nil : false
        case .isNull(let side, let isNegated):
            if case .null = try value(side, properties) { return !isNegated }
            return isNegated
        case .isIn(let name, let list, let isNegated):
            return properties[name].map { list.contains($0) != isNegated }
        case .search(let word, let side, let text, let isNegated):
            guard case .text(let whole) = try value(side, properties), !text.isEmpty else { return false }
            let found =
                word == "CONTAINS"
                ? whole.contains(text) : word == "STARTSWITH" ? whole.hasPrefix(text) : whole.hasSuffix(text)
            return found != isNegated
        case .between(let value, let low, let high, let isNegated):
            return try evaluate(
                isNegated
                    ? .or(.compare("<", value, low), .compare(">", value, high))
                    : .and(.compare(">=", value, low), .compare("<=", value, high)), properties)
        case .compare(let symbol, let left, let right):
            return try compare(symbol, value(left, properties), value(right, properties))
        }
    }

    private static func value(_ side: Side, _ properties: [String: String]) throws -> Value {
        switch side {
        case .property(let name): properties[name].map(Value.text) ?? .null
        case .integer(let value): .integer(value)
        case .decimal(let value): .decimal(value)
        case .text(let text): .text(text)
        case .condition(let tree): try evaluate(tree, properties).map(Value.boolean) ?? .null
        }
    }

    private static func compare(_ symbol: String, _ left: Value, _ right: Value) throws -> Bool? {
        if symbol == "<>" { return try compare("=", left, right).map { !$0 } }
        switch (left, right) {
        case (.null, .null): return symbol == "=" ? true : nil
        case (.null, _): return nil
        case (_, .null): return symbol == "=" ? false : nil
        case (.text(let left), .text(let right)):
            if symbol == "=" { return left == right }
            return holds(symbol, try decimal(left), try decimal(right))
        case (.boolean(let left), .boolean(let right)): return left == right
        case (.boolean(let left), .text(let right)), (.text(let right), .boolean(let left)):
            return left == (right.lowercased() == "true")
        case (.boolean, _), (_, .boolean): return false
        case (.text(let left), .integer(let right)): return holds(symbol, try integer(left), right)
        case (.integer(let left), .text(let right)): return holds(symbol, left, try integer(right))
        case (.text(let left), .decimal(let right)): return holds(symbol, try decimal(left), right)
        case (.decimal(let left), .text(let right)): return holds(symbol, left, try decimal(right))
        case (.integer(let left), .integer(let right)): return holds(symbol, left, right)
        case (.integer(let left), .decimal(let right)): return holds(symbol, Double(left), right)
        case (.decimal(let left), .integer(let right)): return holds(symbol, left, Double(right))
        case (.decimal(let left), .decimal(let right)): return holds(symbol, left, right)
        }
    }

    private static func holds<Number: Comparable>(_ symbol: String, _ left: Number, _ right: Number) -> Bool {
        switch symbol {
        case "=": left == right
        case "<": left < right
        case "<=": left <= right
        case ">": left > right
        default: left >= right
        }
    }

    private static func integer(_ text: String) throws -> Int64 {
        guard let value = Int64(text) else { throw Failure() }
        return value
    }

    private static func decimal(_ text: String) throws -> Double {
        guard let value = Double(text) else { throw Failure() }
        return value
    }

    // MARK: - Chance

    private static let names = ["a", "b", "c"]
    private static let texts = ["x", "xy", "5", "-3", "2.5", "true", "FALSE", "10000000000", "1e2"]

    static func randomProperties(_ random: SeededRandom) -> [String: String] {
        var properties: [String: String] = ["other": "x"]
        for name in names where random.next(below: 4) > 0 { properties[name] = one(of: texts, random) }
        return properties
    }

    private static func one<Element>(of list: [Element], _ random: SeededRandom) -> Element {
        list[random.next(below: list.count)]
    }

    private static func number(_ random: SeededRandom) -> Side {
        random.next(below: 2) == 0
            ? .integer(Int64(random.next(below: 12)) - 4) : .decimal(Double(random.next(below: 40)) / 4 + 0.5)
    }

    static func random(_ random: SeededRandom, depth: Int) -> SelectorModel {
        guard depth > 0, random.next(below: 4) > 0 else { return leaf(random, depth: depth) }
        switch random.next(below: 3) {
        case 0: return .not(Self.random(random, depth: depth - 1))
        case 1: return .and(Self.random(random, depth: depth - 1), Self.random(random, depth: depth - 1))
        default: return .or(Self.random(random, depth: depth - 1), Self.random(random, depth: depth - 1))
        }
    }

    private static func leaf(_ random: SeededRandom, depth: Int) -> SelectorModel {
        let property = Side.property(one(of: names, random))
        let isNegated = random.next(below: 2) == 0
        switch random.next(below: 9) {
        case 0:
            return .compare(one(of: ["<", "<=", ">", ">="], random), property, number(random))
        case 1: return .compare(one(of: ["<", "<=", ">", ">="], random), number(random), property)
        case 2: return .compare(one(of: ["=", "<>"], random), property, number(random))
        case 3: return .compare(one(of: ["=", "<>"], random), property, .text(one(of: texts, random)))
        case 4: return .isNull(property, isNegated)
        case 5: return .isIn(one(of: names, random), [one(of: texts, random), one(of: texts, random)], isNegated)
        case 6:
            return .search(
                one(of: ["CONTAINS", "STARTSWITH", "ENDSWITH"], random), property, one(of: ["x", "5", ""], random),
                isNegated)
        case 7:
            let low = Int64(random.next(below: 5))
            return .between(property, .integer(low), .integer(low + Int64(random.next(below: 5))), isNegated)
        default:
            // NULL itself stands beside no equals sign, so conditions are at least a NOT.
            guard depth > 0 else { return .literal([true, false, nil][random.next(below: 3)]) }
            return .compare(
                one(of: ["=", "<>"], random), .condition(.not(Self.random(random, depth: depth - 1))),
                one(of: [property, .condition(.not(Self.random(random, depth: depth - 1)))], random))
        }
    }
}
