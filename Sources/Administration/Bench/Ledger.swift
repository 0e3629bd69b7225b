import Glibc

/// Which messages brokers have acknowledged, as a file: what `bench produce --ledger` leaves for `bench consume --ledger`, so
/// that nothing which was acknowledged before a crash can be missing unnoticed after it.
///
///     apus-bench-ledger 1
///     run <16 hexadecimal digits>
///     producer <number> <first>-<last> <first>-<last> …
struct Ledger: Equatable, Sendable {
    var run: UInt64
    var acknowledged: [ProducerID: SequenceSet]

    private static let head = "apus-bench-ledger 1"

    var text: String {
        var text = "\(Self.head)\nrun \(String(run, radix: 16))\n"
        for (producer, set) in acknowledged.sorted(by: { $0.key.producer < $1.key.producer }) {
            text += "producer \(producer.producer)"
            for range in set.ranges { text += " \(range.lowerBound)-\(range.upperBound)" }
            text += "\n"
        }
        return text
    }

    init(run: UInt64, acknowledged: [ProducerID: SequenceSet]) {
        self.run = run
        self.acknowledged = acknowledged
    }

    /// Nil when the text is no ledger.
    init?(_ text: String) {
        let lines = text.split(separator: "\n")
        guard lines.count >= 2, lines[0] == Self.head, lines[1].hasPrefix("run "),
            let run = UInt64(lines[1].dropFirst(4), radix: 16)
        else { return nil }
        self.init(run: run, acknowledged: [:])
        for line in lines.dropFirst(2) {
            let words = line.split(separator: " ")
            guard words.count >= 2, words[0] == "producer", let producer = UInt32(words[1]),
                let set = Self.set(words.dropFirst(2))
            else { return nil }
            acknowledged[ProducerID(run: run, producer: producer)] = set
        }
    }

    private static func set(_ words: ArraySlice<Substring>) -> SequenceSet? {
        var set = SequenceSet()
        for word in words {
            let ends = word.split(separator: "-").map { Int64($0) }
            guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 0, first <= last,
                last < MessageStamp.sequenceLimit
            else { return nil }
            for number in first...last { _ = set.insert(number) }
        }
        return set
    }

    // MARK: - Files

    func write(to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw Self.failure("cannot write", path) }
        defer { close(file) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard written > 0 else { throw Self.failure("cannot write", path) }
            rest = rest.dropFirst(written)
        }
    }

    static func read(from path: String) throws -> Ledger {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure("cannot read", path) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(file, &piece, piece.count)
            guard count >= 0 else { throw failure("cannot read", path) }
            guard count > 0 else { break }
            bytes += piece[..<count]
        }
        guard let ledger = Ledger(String(decoding: bytes, as: UTF8.self)) else {
            throw CommandFailure(.usage, "\(path) is no ledger of 'apus bench produce'")
        }
        return ledger
    }

    private static func failure(_ what: String, _ path: String) -> CommandFailure {
        CommandFailure(.failure, "\(what) \(path): \(String(cString: strerror(errno)))")
    }
}
