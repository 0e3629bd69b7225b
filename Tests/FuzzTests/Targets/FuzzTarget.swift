/// One decoder, or one part that reads bytes from outside, for a fuzzer: under libFuzzer (`make fuzz`), and over the corpus in
/// `Fuzz/corpus/<name>/` in every run of the tests.
///
/// A target traps, or calls `fatalError`, when something is wrong; whatever it throws away is right.
final class FuzzTarget {
    let name: String
    /// Whole inputs of our own encoders, from which the corpus is made.
    let seeds: [[UInt8]]
    let run: ([UInt8]) -> Void

    init(_ name: String, seeds: [[UInt8]], run: @escaping ([UInt8]) -> Void) {
        self.name = name
        self.seeds = seeds
        self.run = run
    }

    /// Makes every target anew; some keep a broker.
    static func all() -> [FuzzTarget] {
        wire() + stored() + [selector(), compression(), session(), nameServer(), recovery(), control()]
    }

    static func named(_ name: String) -> FuzzTarget? { all().first { $0.name == name } }

    /// The negative control: a decoder with a mistake, three bytes deep, that a fuzzer must find.
    static func control() -> FuzzTarget {
        FuzzTarget("control", seeds: [Array("ab".utf8)]) { bytes in
            guard bytes.count > 3, bytes[0] == UInt8(ascii: "F"), bytes[1] == UInt8(ascii: "U") else { return }
            if bytes[2] == UInt8(ascii: "Z") { fatalError("the planted mistake was found") }
        }
    }
}
