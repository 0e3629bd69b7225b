import Foundation
import Simulation
import Testing

@Suite("A simulated cluster")
struct ClusterSimulationTests {
    /// One seed by APUS_SIM_SEED, or so many from 1 on by APUS_SIM_SEEDS; `make sim-smoke` runs 2,000 in release.
    static let seeds: ClosedRange<UInt64> = {
        let environment = ProcessInfo.processInfo.environment
        if let text = environment["APUS_SIM_SEED"], let seed = UInt64(text) { return seed...seed }
        return 1...(environment["APUS_SIM_SEEDS"].flatMap(UInt64.init) ?? 12)
    }()

    private static func run(
        _ seed: UInt64, seconds: Int64 = 25, broken: BrokenRule? = nil
    ) -> ClusterSimulation.Outcome {
        var options = ClusterSimulation.Options(seed: seed)
        options.seconds = seconds
        options.broken = broken
        return ClusterSimulation(options).run()
    }

    @Test("keeps its promises, whatever goes wrong")
    func holds() {
        var total = ClusterCoverage()
        for seed in Self.seeds {
            let outcome = Self.run(seed)
            if let violation = outcome.violation {
                Issue.record("\(violation)\n    again: apus-sim --seed \(seed) --seconds 25 --verbose")
            }
            total.add(outcome.coverage)
        }
        guard Self.seeds.count > 5 else { return }
        // What never happens shows nothing.
        #expect(total.acknowledged > 200 && total.deliveries > 200 && total.kills > 5 && total.powerLosses > 5)
        #expect(total.checks > 5 && total.recalls > 0 && total.returns > 5 && total.locks > 5 && total.commits > 5)
        #expect(total.partitions > 0 && total.storeFailures > 0 && total.leaps > 0)
        #expect(total.questions > 5 && total.replies > 5 && total.broadcasts > 20 && total.quotaRefusals > 0)
        #expect(total.quotaWaits > 0)
        // Only asynchronous flush and a power cut take from consumers what they have seen; few worlds are long enough for
        // segments to go.
        if Self.seeds.count >= 100 {
            #expect(total.placesCut > 0 && total.segmentsRemoved > 0 && total.expired > 0)
        }
    }

    @Test("does the same again with the same seed, and something else with another", arguments: [UInt64(3), 5, 20])
    func replay(seed: UInt64) {
        let first = Self.run(seed, seconds: 15)
        let second = Self.run(seed, seconds: 15)
        #expect(first.traceHash == second.traceHash && first.events == second.events)
        #expect(first.traceHash != Self.run(seed + 1, seconds: 15).traceHash)
    }

    /// Seeds within which each break must be noticed.
    static let budget: UInt64 = 8

    @Test("notices every rule that is broken on purpose, within eight seeds", arguments: BrokenRule.allCases)
    func negativeControl(_ rule: BrokenRule) {
        for seed in 1...Self.budget {
            guard let violation = Self.run(seed, seconds: 40, broken: rule).violation else { continue }
            #expect(rule.promises.contains(violation.promise), "\(violation)")
            return
        }
        Issue.record("\(rule.rawValue) was not noticed")
    }
}
