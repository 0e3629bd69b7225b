import BrokerCore

/// How long one SQL92 expression takes over one message: the compiled program over property strings as stored messages carry
/// them, in memory, on one thread.
public struct FilterBenchmark: Sendable {
    public var messages: Int
    /// Messages that passed.
    public var matches: Int
    /// From the text to a program.
    public var compilation: Duration
    public var evaluation: Duration
    /// Mean bytes of a property string.
    public var propertyBytes: Int

    public var nanosecondsPerMessage: Double {
        let parts = evaluation.components
        return (Double(parts.seconds) * 1e9 + Double(parts.attoseconds) / 1e9) / Double(max(messages, 1))
    }

    /// What clients and broker store with every message, around the properties of the user.
    private static let own =
        "UNIQ_KEY\u{1}7F00000100002A139A4F3BD3A3A70001\u{2}CLUSTER\u{1}DefaultCluster\u{2}TAGS\u{1}TagA"

    /// Sixteen strings: half of them pass `a > 5 AND region IN ('EU','US')`.
    public static let samples: [String] = (0..<16).map { number in
        "\(own)\u{2}a\u{1}\(number)\u{2}region\u{1}\(["EU", "ASIA", "US", "EU"][number % 4])\u{2}__CRC32#\u{1}0123456789"
    }

    /// Compiles the expression and runs it over `messages` messages, as many of each of the strings.
    /// - Parameter properties: property strings, `name=value` pairs with blanks between; empty takes ``samples``.
    /// - Throws: `SelectorError`.
    public static func run(expression: String, properties: [String], messages: Int) throws -> FilterBenchmark {
        let clock = ContinuousClock()
        var begin = clock.now
        let program = try SelectorProgram(expression)
        let compilation = clock.now - begin
        let strings = properties.isEmpty ? samples : properties.map { own + "\u{2}" + encoded($0) }
        let encodings = strings.map { Array($0.utf8) }
        var matches = 0
        begin = clock.now
        for number in 0..<messages {
            let encoding = encodings[number % encodings.count]
            if program.matches(encoding.span.bytes) { matches += 1 }
        }
        return FilterBenchmark(
            messages: messages, matches: matches, compilation: compilation, evaluation: clock.now - begin,
            propertyBytes: encodings.reduce(0) { $0 + $1.count } / encodings.count)
    }

    private static func encoded(_ pairs: String) -> String {
        pairs.split(separator: " ").map { pair in
            pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).joined(separator: "\u{1}")
        }.joined(separator: "\u{2}")
    }
}
