import Base
import Foundation
import Testing

/// Random changes of every target's whole inputs, without a fuzzer: a few in an ordinary run of the tests, any number by
/// `make seeded-fuzz`.
@Suite("Fuzz: by seed")
struct SeededTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed = environment["APUS_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
    /// Targets that keep a broker or a whole store run fewer rounds.
    private static let costs = ["recovery": 200, "session": 20, "namesrv": 20]

    private static func rounds(_ name: String) -> Int {
        let cost = costs[name] ?? 1
        guard let wanted = environment["APUS_FUZZ_ROUNDS"].flatMap(Int.init) else { return 10_000 / cost }
        return max(1, wanted / cost)
    }

    @Test("Fuzz: changed inputs trap nowhere", arguments: CorpusTests.names)
    func changed(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let random = SeededRandom(seed: Self.seed)
        for _ in 0..<Self.rounds(name) {
            var bytes = target.seeds[random.next(below: target.seeds.count)]
            random.mutate(&bytes)
            target.run(bytes)
        }
    }

    @Test("Fuzz: a store that is damaged at random opens or says why, and serves nothing that is damaged")
    func store() throws {
        let target = try #require(FuzzTarget.named("recovery"))
        let random = SeededRandom(seed: Self.seed)
        for _ in 0..<Self.rounds("recovery") {
            // Changes of six bytes each, as the target reads them.
            target.run((0..<6 * (1 + random.next(below: 3))).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        }
    }
}

extension SeededRandom {
    /// A few changes of the kind that lengths, counts and offsets do not like.
    fileprivate func mutate(_ bytes: inout [UInt8]) {
        for _ in 0..<(1 + next(below: 4)) {
            guard !bytes.isEmpty else { return bytes = [UInt8(truncatingIfNeeded: next())] }
            let position = next(below: bytes.count)
            switch next(below: 6) {
            case 0: bytes[position] = UInt8(truncatingIfNeeded: next())
            case 1: bytes[position] ^= 1 << UInt8(next(below: 8))
            case 2: bytes.removeLast(next(below: min(bytes.count, 64)))
            case 3:
                for index in position..<min(position + 4, bytes.count) {
                    bytes[index] = [0, 0x7F, 0xFF][next(below: 3)]
                }
            case 4:
                let source = next(below: bytes.count)
                let size = min(next(below: 64), bytes.count - max(source, position))
                let moved = Array(bytes[source..<source + size])
                bytes.replaceSubrange(position..<position + size, with: moved)
            default: bytes.insert(UInt8(truncatingIfNeeded: next()), at: position)
            }
        }
    }
}
