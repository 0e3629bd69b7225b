import Base
import BrokerCore
import Bytes
import Testing

/// Shorthand of the tests: properties as `a=5 b=x`.
func propertyString(_ text: String) -> [UInt8] {
    Array(text.replacing(" ", with: "\u{2}").replacing("=", with: "\u{1}").utf8)
}

extension SelectorProgram {
    func matches(_ text: String) -> Bool { matches(bytes: propertyString(text)) }

    func matches(bytes: [UInt8]) -> Bool { matches(bytes.span.bytes) }
}

@Suite("SQL92 filters")
struct SelectorTests {
    @Test(
        "comparisons with numbers",
        arguments: [
            ("a > 5", "a=6", true), ("a > 5", "a=5", false), ("a >= 5", "a=5", true), ("a < 5", "a=4", true),
            ("a <= 5", "a=6", false), ("a = 5", "a=5", true), ("a = 5", "a=+5", true), ("a = 5", "a=005", true),
            ("a <> 5", "a=6", true), ("a <> 5", "a=5", false), ("5 < a", "a=6", true), ("a > -5", "a=-4", true),
            ("a = -9223372036854775808", "a=-9223372036854775808", true), ("a = 5L", "a=5", true),
            ("a > 5", "a=9223372036854775807", true), ("a > 5.5", "a=5.6", true), ("a = 5.0", "a=5", true),
            ("a > 3.1E10", "a=3.1000000001E10", true), ("a = .5", "a=0.50", true), ("a = 5.", "a=5", true),
            ("a < 1e-3", "a=0.0001", true), ("a > 5.0", "a=NaN", true), ("a > 5.0", "a=Infinity", true),
            ("a > 5.0", "a=6d", true), ("a = 0.1", "a=0.1", true), ("a = 0.30000000000000004", "a=0.3", false),
            ("a > b", "a=10 b=9", true), ("a > b", "a=1e1 b=9.5", true), ("1 < 2", "", true), ("2.5 > 2", "", true),
        ] as [(String, String, Bool)])
    func numbers(expression: String, properties: String, expected: Bool) throws {
        #expect(try SelectorProgram(expression).matches(properties) == expected)
    }

    @Test(
        "a text that is no number where one is needed fails the message, whatever else the expression says",
        arguments: [
            ("a > 5", "a=x"), ("a > 5", "a=5.5"), ("a > 5", "a=99999999999999999999"), ("a <> 5", "a=x"),
            ("NOT (a = 5)", "a=x"), ("a = 5 OR b = 'y'", "a=x b=y"), ("a > b", "a=x b=1"), ("a > 5.0", "a=1e"),
            ("a > 5.0", "a=0x10"), ("a > 5.0", "a=--1"), ("a > 5.0", "a=."), ("a = 5", "a=-"),
        ])
    func noNumber(expression: String, properties: String) throws {
        #expect(try !SelectorProgram(expression).matches(properties))
    }

    @Test("what is decided already is not looked at, so it cannot fail")
    func shortCut() throws {
        #expect(try SelectorProgram("b = 'y' OR a = 5").matches("a=x b=y"))
        #expect(try SelectorProgram("NOT (b = 'z' AND a = 5)").matches("a=x b=y"))
    }

    @Test(
        "texts",
        arguments: [
            ("a = 'x'", "a=x", true), ("a = 'x'", "a=X", false), ("a <> 'x'", "a=y", true),
            ("a = 'it''s'", "a=it's", true), ("a = ''", "a=x", false), ("a = b", "a=x b=x", true),
            ("a = '5'", "a=5", true), ("a = '5'", "a=05", false), ("'5' = 5", "", true),
            ("A = 'x'", "a=x", false), ("TAGS = 'red'", "TAGS=red", true), ("$a_1 = 'x'", "$a_1=x", true),
            ("a = 'ü'", "a=ü", true), ("a CONTAINS 'ell'", "a=hello", true), ("a contains 'lo'", "a=hello", true),
            ("a CONTAINS 'lox'", "a=hello", false), ("a STARTSWITH 'he'", "a=hello", true),
            ("a STARTSWITH 'el'", "a=hello", false), ("a ENDSWITH 'lo'", "a=hello", true),
            ("a ENDSWITH 'l'", "a=hello", false), ("a NOT CONTAINS 'x'", "a=hello", true),
            ("a NOT STARTSWITH 'he'", "a=hello", false), ("a NOT ENDSWITH 'he'", "a=hello", true),
            ("a CONTAINS 'longer than it'", "a=x", false), ("a NOT CONTAINS 'longer than it'", "a=x", true),
            ("a CONTAINS ''", "a=x", false), ("a NOT CONTAINS ''", "a=x", false), ("a CONTAINS 'x'", "", false),
            ("a NOT CONTAINS 'x'", "", false), ("'axb' contains 'x'", "", true), ("a CONTAINS 'aab'", "a=aaab", true),
        ] as [(String, String, Bool)])
    func texts(expression: String, properties: String, expected: Bool) throws {
        #expect(try SelectorProgram(expression).matches(properties) == expected)
    }

    @Test(
        "ranges and lists",
        arguments: [
            ("a BETWEEN 2 AND 10", "a=2", true), ("a BETWEEN 2 AND 10", "a=10", true),
            ("a BETWEEN 2 AND 10", "a=11", false), ("a NOT BETWEEN 2 AND 10", "a=11", true),
            ("a NOT BETWEEN 2 AND 10", "a=2", false), ("a between b and c", "a=5 b=4 c=6", true),
            ("a NOT BETWEEN 10 AND 2", "a=5", true), ("a BETWEEN 1.5 AND 2", "a=1.6", false),
            ("a IN ('x', 'y')", "a=y", true), ("a IN ('x', 'y')", "a=z", false), ("a NOT IN ('x')", "a=y", true),
            ("a NOT IN ('x')", "a=x", false), ("a in ('3','4','5')", "a=3", true), ("a IN ('xx')", "a=x", false),
            ("a BETWEEN 1 AND 2 AND b = 3", "a=1 b=3", true), ("a IN ('x') = TRUE", "a=x", true),
        ] as [(String, String, Bool)])
    func rangesAndLists(expression: String, properties: String, expected: Bool) throws {
        // Of a BETWEEN with a decimal and an integer, the text must be a number of both kinds.
        #expect(try SelectorProgram(expression).matches(properties) == expected)
    }

    @Test("a long list finds each of its texts, and no other", arguments: [8, 9, 10, 100, 1000])
    func longList(count: Int) throws {
        let texts = (0..<count).map { String(repeating: "x", count: $0 % 7) + "\($0 * 3)" }
        let program = try SelectorProgram("a IN (" + texts.map { "'\($0)'" }.joined(separator: ",") + ")")
        for text in texts { #expect(program.matches("a=\(text)")) }
        for number in 0..<count { #expect(!program.matches("a=\(number * 3 + 1)")) }
    }

    @Test(
        "missing properties make an expression unknown, and unknown is not delivered",
        arguments: [
            ("a = 5", false), ("a <> 5", false), ("NOT (a = 5)", false), ("a > 5", false), ("a IN ('x')", false),
            ("a NOT IN ('x')", false), ("a IS NULL", true), ("a IS NOT NULL", false), ("NOT (a IS NULL)", false),
            ("a = 5 OR b = 1", true), ("b = 1 OR a = 5", true), ("a = 5 AND b = 1", false),
            ("NOT (a = 5 AND b = 2)", true), ("NOT (a = 5 OR b = 2)", false), ("a BETWEEN 1 AND 2", false),
            ("a NOT BETWEEN 1 AND 2", false), ("a = c", true), ("(a = 5) IS NULL", true), ("b IS NOT NULL", true),
            // RocketMQ: a missing value on the right is unequal, on the left unknown.
            ("'x' <> a", true), ("a <> 'x'", false), ("b <> a", true), ("a <> b", false),
        ])
    func missing(expression: String, expected: Bool) throws {
        #expect(try SelectorProgram(expression).matches("b=1") == expected)
    }

    @Test(
        "truth values",
        arguments: [
            ("TRUE", "", true), ("FALSE", "", false), ("NULL", "", false), ("a = TRUE", "a=true", true),
            ("a = TRUE", "a=TrUe", true), ("a = TRUE", "a=yes", false), ("a = FALSE", "a=yes", true),
            ("a <> TRUE", "a=false", true), ("(b > 1) = TRUE", "b=2", true), ("(b > 1) = (c > 1)", "b=0 c=0", true),
            ("(b > 1) = a", "b=2 a=true", true), ("a = (b > 1)", "b=2 a=true", true), ("TRUE AND NOT FALSE", "", true),
            ("NOT NOT TRUE", "", true), ("5 = TRUE", "", false),
            // A text is no truth value, so a property alone is false where it is there.
            ("a", "a=true", false), ("NOT a", "a=true", true), ("NOT a", "", false), ("a OR TRUE", "a=x", true),
        ] as [(String, String, Bool)])
    func truthValues(expression: String, properties: String, expected: Bool) throws {
        #expect(try SelectorProgram(expression).matches(properties) == expected)
    }

    @Test(
        "words, precedence and comments",
        arguments: [
            ("a=1 or a=2 and b=3", "a=1", true), ("(a=1 or a=2) and b=3", "a=1 b=4", false),
            ("Not (a=1) aNd b=2", "a=3 b=2", true), ("a=1--x\n or b=2", "b=2", true),
            ("a /* x * / */ = 1", "a=1", true),
            // NOT belongs to the nearest value: this is (NOT a) = 1, as in RocketMQ.
            ("NOT a = 1", "a=3", false), ("NOT a = TRUE", "a=3", true),
            ("a\t=\r\n1", "a=1", true), ("((((a=1))))", "a=1", true), ("+ + a = 1", "a=1", true),
            ("a = - -1", "a=1", true),
            ("a=1 OR b=2 OR c=3 OR d=4", "d=4 a=0 b=0 c=0", true), ("a=1 AND b=2 AND c=3", "a=1 b=2 c=4", false),
        ] as [(String, String, Bool)])
    func words(expression: String, properties: String, expected: Bool) throws {
        #expect(try SelectorProgram(expression).matches(properties) == expected)
    }

    @Test("of two properties with one name the last counts, and an empty one is none")
    func propertyStrings() throws {
        let program = try SelectorProgram("a = '1'")
        #expect(program.matches("a=2 a=1"))
        #expect(!program.matches("a=1 a=2"))
        #expect(program.matches("a=1 a="))
        #expect(try SelectorProgram("a IS NULL").matches("a="))
        for odd in ["", "\u{2}", "\u{1}\u{2}", "a", "aa\u{1}1", "a\u{2}1", "\u{1}1", "xa\u{1}1"] {
            let bytes = Array(odd.utf8)
            #expect(!program.matches(bytes: bytes))
        }
        let trailing = Array("b\u{1}x\u{2}a\u{1}1\u{2}".utf8)
        #expect(program.matches(bytes: trailing))
        let separator = Array("a\u{1}1\u{1}2".utf8)
        #expect(try SelectorProgram("a STARTSWITH '1'").matches(bytes: separator))
    }

    @Test(
        "errors name the character and what was expected",
        arguments: [
            ("", 1, "the expression is empty, expected a condition"),
            ("  ", 3, "the expression is empty, expected a condition"),
            ("a >", 4, "expected a property, a literal, NOT or (, found the end"),
            ("a > > 5", 5, "expected a property, a literal, NOT or (, found >"),
            ("a = 5 b", 7, "expected AND, OR, a comparison or the end of the expression, found b"),
            ("ü = 5", 1, "ü begins no property, literal or operator"),
            ("a = 'ü' ?", 9, "? begins no property, literal or operator"),
            ("a != 5", 3, "! is no operator, expected <> or NOT"),
            ("a = \"x\"", 5, "texts stand between single quotes"),
            ("a = 'x", 5, "the text has no end, expected '"), ("a /* x", 3, "the comment has no end, expected */"),
            ("(a = 5", 7, "expected ), found the end"),
            ("a = 5)", 6, "expected AND, OR, a comparison or the end of the expression, found )"),
            ("a BETWEEN 5", 12, "expected AND between the two bounds, found the end"),
            ("a BETWEEN 10 AND 2", 18, "the upper bound is below the lower one"),
            ("a BETWEEN 'x' AND 'y'", 11, "texts have no order, expected a number or a property"),
            ("a IN 'x'", 6, "expected ( before the texts of the list, found 'x'"),
            ("a IN ('x' 'y')", 11, "expected , or ) in the list, found 'y'"),
            ("a IN ()", 7, "expected a text between single quotes, found )"),
            ("a IN (5)", 7, "expected a text between single quotes, found 5"),
            ("5 IN ('x')", 1, "expected a property before IN"),
            ("a NOT 5", 7, "expected IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH, found 5"),
            ("a IS 5", 6, "expected NULL or NOT NULL, found 5"), ("a IS NOT 5", 10, "expected NULL, found 5"),
            ("a = NULL", 5, "nothing equals NULL, expected IS NULL or IS NOT NULL"),
            ("a > 'x'", 5, "texts have no order, expected a number or a property"),
            ("a > TRUE", 5, "truth values have no order, expected a number or a property"),
            ("(a > 5) > 3", 1, "truth values have no order, expected a number or a property"),
            ("TRUE = 5", 8, "expected TRUE, FALSE or a property beside a truth value"),
            ("a CONTAINS x", 12, "expected a text between single quotes, found x"),
            ("5", 1, "expected a condition, found a value"), ("a AND 'x'", 7, "expected a condition, found a value"),
            ("NOT 5", 5, "expected a condition, found a value"),
            ("-(a = 5)", 1, "a condition has no sign, expected NOT"),
            ("a = 007", 5, "an integer does not begin with 0"),
            ("a = 9223372036854775808", 5, "the integer needs more than 64 bits"),
            ("a > 100000000000000000000000", 5, "the integer needs more than 64 bits"),
            ("a > 1e400", 5, "the number is larger than a double can be"),
            ("a.b = 5", 2, ". begins no property, literal or operator"),
            ("a and between 2 and 10", 7, "expected a property, a literal, NOT or (, found between"),
        ] as [(String, Int, String)])
    func errors(expression: String, character: Int, reason: String) {
        #expect(throws: SelectorError(character: character, reason: reason)) { try SelectorProgram(expression) }
    }

    // MARK: - Limits

    @Test("an expression of the longest length is read, one byte more is not")
    func length() throws {
        let padding = String(repeating: " ", count: Limits.selectorLengthMaximum - 5)
        #expect(try SelectorProgram("a = 5" + padding).matches("a=5"))
        #expect(throws: SelectorError.self) { try SelectorProgram("a = 5" + padding + " ") }
    }

    @Test(
        "the deepest nesting is read, one level more is not",
        arguments: [("(", ")"), ("NOT ", ""), ("- ", "")])
    func depth(open: String, close: String) throws {
        let core = open == "- " ? "5 = 5" : "TRUE"
        func nested(_ levels: Int) -> String {
            String(repeating: open, count: levels) + core + String(repeating: close, count: levels)
        }
        _ = try SelectorProgram(nested(Limits.selectorDepthMaximum - 1))
        #expect(throws: SelectorError.self) { try SelectorProgram(nested(Limits.selectorDepthMaximum)) }
    }

    @Test("the most terms are read, one more is not")
    func terms() throws {
        func conditions(_ count: Int) -> String {
            (0..<count).map { "a = \($0)" }.joined(separator: " OR ")
        }
        let program = try SelectorProgram(conditions(Limits.selectorTermsMaximum / 2))
        #expect(program.matches("a=\(Limits.selectorTermsMaximum / 2 - 1)"))
        #expect(throws: SelectorError.self) {
            try SelectorProgram(conditions(Limits.selectorTermsMaximum / 2) + " OR a")
        }
    }

    @Test("the most properties are read, one more is not")
    func properties() throws {
        func conditions(_ count: Int) -> String {
            (0..<count).map { "p\($0) = '\($0)'" }.joined(separator: " OR ")
        }
        let last = Limits.selectorPropertiesMaximum - 1
        #expect(try SelectorProgram(conditions(last + 1)).matches("p\(last)=\(last) p0=x"))
        #expect(throws: SelectorError.self) { try SelectorProgram(conditions(last + 2)) }
    }

    @Test("a chain of comparisons is no nesting")
    func chain() throws {
        let expression = "a" + String(repeating: " = TRUE", count: 4_000)
        #expect(try SelectorProgram(expression).matches("a=true"))
    }
}
