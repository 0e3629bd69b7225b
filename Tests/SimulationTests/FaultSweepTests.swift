import Simulation
import Testing

@Suite("Every call of the disk fails once")
struct FaultSweepTests {
    /// `apus-sim --sweep` takes every call; here every so many, which differ from fault to fault.
    static let stride = 31

    @Test("and the promises hold", arguments: FaultSweep.Fault.allCases)
    func holds(_ fault: FaultSweep.Fault) throws {
        let count = try FaultSweep.callCount()
        #expect(count > 300)
        let first = 1 + (FaultSweep.Fault.allCases.firstIndex(of: fault) ?? 0) * 7
        for call in Swift.stride(from: first, through: count, by: Self.stride) {
            do {
                try FaultSweep.run(fault, at: call)
            } catch {
                Issue.record("\(error)")
            }
        }
    }
}
