/// The last things that happened in a world, and a fingerprint of everything that did: two runs of one seed have the same.
public final class Trace {
    struct Line {
        var time: Int64
        /// What happened; each `%` stands for the next of the numbers.
        var text: StaticString
        var numbers: (Int64, Int64, Int64, Int64)
    }

    /// FNV-1a over the texts and the numbers of all lines.
    public private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private var lines: [Line] = []
    private var next = 0
    /// Lines that are kept.
    private let limit: Int
    /// Takes each line at once.
    private let output: (@Sendable (String) -> Void)?

    init(limit: Int = 80, output: (@Sendable (String) -> Void)? = nil) {
        self.limit = limit
        self.output = output
    }

    func note(
        _ time: Int64, _ text: StaticString, _ a: Int64, _ b: Int64, _ c: Int64, _ d: Int64
    ) {
        let line = Line(time: time, text: text, numbers: (a, b, c, d))
        for number in [time, Int64(text.utf8CodeUnitCount), a, b, c, d] { mix(UInt64(bitPattern: number)) }
        if let last = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount).last {
            mix(UInt64(last))
        }
        output?(Self.describe(line))
        if lines.count < limit { lines.append(line) } else { lines[next] = line }
        next = (next + 1) % limit
    }

    @inline(__always)
    private func mix(_ number: UInt64) { hash = (hash ^ number) &* 0x0000_0100_0000_01B3 }

    /// The last lines, oldest first.
    public var last: [String] {
        let ordered = lines.count < limit ? lines[...] : lines[next...] + lines[..<next]
        return ordered.map(Self.describe)
    }

    private static func describe(_ line: Line) -> String {
        let (a, b, c, d) = line.numbers
        var numbers = [a, b, c, d].makeIterator()
        var text = ""
        for character in line.text.description {
            if character == "%" { text += String(numbers.next() ?? 0) } else { text.append(character) }
        }
        let milliseconds = String(line.time / 1_000 % 1_000)
        let padding = String(repeating: "0", count: 3 - milliseconds.count)
        return "\(line.time / 1_000_000).\(padding)\(milliseconds) \(text)"
    }
}
