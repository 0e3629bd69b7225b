import Testing

@testable import Telemetry

@Suite("Histogram")
struct HistogramTests {
    @Test("quantiles are within 1/64 of the true ones", arguments: [0.5, 0.9, 0.99, 0.999])
    func quantiles(quantile: Double) {
        var histogram = Histogram()
        for value in 1...100_000 { histogram.record(Int64(value)) }
        let expected = quantile * 100_000
        let found = Double(histogram.value(at: quantile))
        #expect(found >= expected)
        #expect(found <= expected * (1 + 1.0 / 64) + 1)
    }

    @Test("small values are exact, huge and negative ones are kept at the edges")
    func edges() {
        var histogram = Histogram()
        #expect(histogram.value(at: 0.5) == 0)
        for value in [-5, 0, 7, Int64.max] { histogram.record(value) }
        #expect(histogram.count == 4)
        #expect(histogram.value(at: 0.75) == 7)
        #expect(histogram.maximum == .max)
    }

    @Test("two histograms together count what both counted")
    func merge() {
        var (a, b) = (Histogram(), Histogram())
        for value in 1...10 { a.record(Int64(value)) }
        for value in 11...20 { b.record(Int64(value)) }
        a.merge(b)
        #expect(a.count == 20)
        #expect(a.value(at: 0.5) == 10)
        #expect(a.minimum == 1)
    }
}

@Suite("Log lines")
struct LogTests {
    @Test("what a stranger sent cannot forge a line")
    func control() {
        #expect(StandardErrorLogSink.printable("a\nb\u{1}") == "a\\nb\\u{01}")
        #expect(StandardErrorLogSink.quoted("two words") == "\"two words\"")
        #expect(StandardErrorLogSink.quoted("word") == "word")
    }
}
