import Foundation

/// Seeds of the random worlds that a broker is compared with a model in: few by default, for each takes seconds in a debug
/// build. `make sim` asks for more (APUS_SIM_SEEDS), or for one (APUS_SIM_SEED).
enum ModelSeeds {
    static func first(_ count: UInt64) -> [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let text = environment["APUS_SIM_SEED"], let seed = UInt64(text) { return [seed] }
        return Array(0..<(environment["APUS_SIM_SEEDS"].flatMap(UInt64.init) ?? count))
    }
}
