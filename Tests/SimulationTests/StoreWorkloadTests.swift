import Foundation
import Simulation
import Testing

@Suite("A broker in simulated worlds")
struct StoreWorkloadTests {
    /// Seeds that once found something: index files cut short between two truncations (239, 728), a segment removed after a
    /// failed synchronisation (469), an index header written in part (1343, 1487).
    static let regressions: [UInt64] = [239, 469, 728, 1343, 1487]

    /// One seed by APUS_SIM_SEED, or so many from 1 on by APUS_SIM_SEEDS.
    static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let text = environment["APUS_SIM_SEED"], let seed = UInt64(text) { return [seed] }
        return Array(1...(environment["APUS_SIM_SEEDS"].flatMap(UInt64.init) ?? 40)) + regressions
    }()

    @Test("a disk that only pretends to synchronise is caught within three seeds")
    func negativeControl() {
        let caught = (UInt64(1)...3).contains { seed in
            do {
                try StoreWorkload(seed: seed, liesAboutSynchronizing: true).run(steps: 600)
                return false
            } catch {
                return true
            }
        }
        #expect(caught)
    }

    @Test("nothing acknowledged is lost, nothing unsent appears, and all views agree with the log")
    func holds() throws {
        var total = StoreWorkload.Coverage()
        for seed in Self.seeds {
            let workload = StoreWorkload(seed: seed)
            if Self.seeds.count == 1 { workload.traceLimit = .max }
            do {
                try workload.run(steps: 600)
            } catch {
                Issue.record("\(error)\n    repeat it with APUS_SIM_SEED=\(seed)")
                if Self.seeds.count < 200 { break }
            }
            total.add(workload.coverage)
        }
        print("simulation: \(Self.seeds.count) seeds, \(total)")
    }
}
