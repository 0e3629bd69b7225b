import Base
import Testing

@Suite("Seeded random")
struct RandomTests {
    @Test("the same seed gives the same numbers, another seed others")
    func repeats() {
        let a = SeededRandom(seed: 7), b = SeededRandom(seed: 7), c = SeededRandom(seed: 8)
        let first = (0..<8).map { _ in a.next() }
        #expect(first == (0..<8).map { _ in b.next() })
        #expect(first != (0..<8).map { _ in c.next() })
    }
}
