import Base
import Testing

@testable import BrokerCore

@Suite("Compiled SQL92 expressions that are kept")
struct SelectorCacheTests {
    @Test("an expression is compiled once, as long as no more than so many are kept")
    func count() throws {
        let cache = SelectorCache()
        let first = try cache.program(for: "a = 0")
        for number in 1..<Limits.selectorsKeptMaximum { _ = try cache.program(for: "a = \(number)") }
        #expect(try cache.program(for: "a = 0") === first)
        _ = try cache.program(for: "a = \(Limits.selectorsKeptMaximum)")
        #expect(try cache.program(for: "a = 0") !== first)
    }

    @Test("long expressions do not add up to more than so many bytes")
    func bytes() throws {
        let cache = SelectorCache()
        func expression(_ number: Int) -> String {
            let text = "a = \(number)"
            return text + String(repeating: " ", count: Limits.selectorLengthMaximum - text.utf8.count)
        }
        let fitting = SelectorCache.bytesMaximum / Limits.selectorLengthMaximum
        let first = try cache.program(for: expression(0))
        for number in 1..<fitting { _ = try cache.program(for: expression(number)) }
        #expect(try cache.program(for: expression(0)) === first)
        _ = try cache.program(for: expression(fitting))
        #expect(try cache.program(for: expression(0)) !== first)
    }

    @Test("what cannot be used is refused each time")
    func bad() {
        let cache = SelectorCache()
        for _ in 0..<2 { #expect(throws: SelectorError.self) { try cache.program(for: "a >") } }
    }
}
