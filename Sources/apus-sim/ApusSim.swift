import Glibc
import Simulation

/// Runs simulated clusters, one seed after the other, and says what did not hold. See docs/simulation.md.
@main
struct ApusSim {
    static let usage = """
        usage: apus-sim [--seeds N] [--first S] [--seed S] [--seconds T] [--break RULE] [--verbose]

          --seeds N    how many seeds, from --first on (default 100)
          --first S    the first seed (default 1)
          --seed S     this seed only
          --seconds T  how long things go wrong in each world (default 40)
          --break RULE breaks a rule on purpose: the run must find that out
          --sweep      instead of that, fails every call of the disk once in the life of one broker
          --keep-going goes on after a violation
          --verbose    prints everything that happens

        rules: \(BrokenRule.allCases.map(\.rawValue).joined(separator: ", "))
        """

    static func main() {
        var first: UInt64 = 1
        var count: UInt64 = 100
        var options = ClusterSimulation.Options(seed: 1)
        var keepsGoing = false
        var words = CommandLine.arguments.dropFirst()
        func number(_ word: String) -> UInt64 {
            guard let text = words.popFirst(), let number = UInt64(text) else { stop("\(word) needs a number") }
            return number
        }
        while let word = words.popFirst() {
            switch word {
            case "--seeds": count = number(word)
            case "--first": first = number(word)
            case "--seed":
                first = number(word)
                count = 1
            case "--seconds": options.seconds = Int64(number(word))
            case "--break":
                guard let rule = words.popFirst().flatMap(BrokenRule.init) else { stop("--break needs a rule") }
                options.broken = rule
            case "--keep-going": keepsGoing = true
            case "--sweep": sweep()
            case "--verbose": options.output = { say($0) }
            default: stop("what is \(word)?")
            }
        }
        run(first, count, options, keepsGoing)
    }

    private static func say(_ line: String) { puts(line) }

    private static func stop(_ reason: String) -> Never {
        say("\(reason)\n\n\(usage)")
        exit(64)
    }

    /// Every call, and every fault in it.
    private static func sweep() -> Never {
        var failures = 0
        do {
            let count = try FaultSweep.callCount()
            for fault in FaultSweep.Fault.allCases {
                for call in 1...count {
                    do {
                        try FaultSweep.run(fault, at: call)
                    } catch {
                        failures += 1
                        say("\(error)")
                    }
                }
            }
            say("\(count) calls of the disk, \(FaultSweep.Fault.allCases.count) faults in each: \(failures) failures")
        } catch {
            failures += 1
            say("\(error)")
        }
        exit(failures == 0 ? 0 : 1)
    }

    private static func run(_ first: UInt64, _ count: UInt64, _ options: ClusterSimulation.Options, _ keepsGoing: Bool)
    {
        var total = ClusterCoverage()
        var milliseconds: Int64 = 0
        var failed: [UInt64] = []
        let start = processorTime
        for seed in first..<first + count {
            var options = options
            options.seed = seed
            let outcome = ClusterSimulation(options).run()
            total.add(outcome.coverage)
            milliseconds += outcome.milliseconds
            if count == 1 { say("seed \(seed): trace \(String(outcome.traceHash, radix: 16))") }
            guard let violation = outcome.violation else { continue }
            failed.append(seed)
            // Whoever watches a long run wants to see it now.
            defer { fflush(nil) }
            say("\(violation)\n    again: apus-sim --seed \(seed) --seconds \(options.seconds)\(breaking(options))")
            if !keepsGoing || options.broken != nil { break }
        }
        report(milliseconds, processorTime - start, total)
        if let rule = options.broken {
            say(failed.isEmpty ? "\(rule.rawValue): NOT noticed" : "\(rule.rawValue): noticed with seed \(failed[0])")
            exit(failed.isEmpty ? 1 : 0)
        }
        if !failed.isEmpty { say("failed: \(failed.map(String.init).joined(separator: " "))") }
        exit(failed.isEmpty ? 0 : 1)
    }

    private static func breaking(_ options: ClusterSimulation.Options) -> String {
        options.broken.map { " --break \($0.rawValue)" } ?? ""
    }

    private static func report(_ milliseconds: Int64, _ processor: Double, _ total: ClusterCoverage) {
        let seconds = Double(milliseconds) / 1_000
        let rate = Int(seconds / max(processor, 0.001))
        say(
            "\(Int(seconds)) simulated seconds in \(Int(processor * 10) / 10) s of processor time: \(rate) per second")
        say(total.description)
    }

    /// Seconds of processor time of this process.
    private static var processorTime: Double { Double(clock()) / Double(CLOCKS_PER_SEC) }
}
