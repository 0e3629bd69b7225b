import RemotingProtocol
import Telemetry

/// A result as people and programs read it.
struct BenchReport {
    let result: BenchResult

    func rendered(as format: OutputFormat, style: TextStyle = .plain) -> String {
        switch format {
        case .table: text(style)
        case .json: json
        case .csv: OutputTable(fields.map(\.name), [fields.map(\.value)]).rendered(as: .csv)
        }
    }

    // MARK: - Fields

    typealias Field = (name: String, value: OutputTable.Cell)

    /// Everything but histograms and errors, under names that do not change. Times are in microseconds unless the name says
    /// otherwise; what was not measured is absent.
    var fields: [Field] {
        workloadFields + figureFields("sent", result.sent, delivery: false)
            + figureFields("received", result.received, delivery: true) + verdictFields + processFields
    }

    private var workloadFields: [Field] {
        let workload = result.workload
        return [
            ("mode", .text(workload.kind.rawValue)), ("run", .text(result.runName)),
            ("brokers", .text(result.brokers.joined(separator: " "))), ("seconds", .number(result.seconds)),
            ("threads", .integer(Int64(workload.threads))),
            ("connections", .integer(Int64(workload.produces ? workload.producerConnections : 0))),
            ("consumers", .integer(Int64(workload.consumes ? workload.consumerConnections : 0))),
            ("inFlight", .integer(Int64(workload.inFlight))), ("messageSize", .integer(Int64(workload.bodySize))),
            ("batch", .integer(Int64(workload.batchSize))), ("pullBatch", .integer(Int64(workload.pullSize))),
            ("topics", .integer(Int64(workload.topicCount))),
            ("header", .text(workload.encoding == .json ? "json" : "rocketmq")),
            ("properties", .text(workload.properties.rawValue)),
            ("rate", workload.rate.map { .number($0) } ?? .absent),
            ("interrupted", .boolean(result.isInterrupted)),
            ("endedBecause", result.endedBecause.map { .text($0) } ?? .absent),
        ]
    }

    private func figureFields(_ prefix: String, _ figures: LoadFigures?, delivery: Bool) -> [Field] {
        let rate = figures.map { Double($0.messages) / result.seconds }
        var fields: [Field] = [
            (prefix + "Messages", figures.map { .integer(Int64($0.messages)) } ?? .absent),
            (prefix + "PerSecond", rate.map { .number(rounded($0, 1)) } ?? .absent),
            (
                prefix + "MegabytesPerSecond",
                figures.map { .number(rounded(Double($0.bytes) / 1e6 / result.seconds, 3)) } ?? .absent
            ),
            (prefix + "Requests", figures.map { .integer(Int64($0.requests)) } ?? .absent),
            (prefix + "Errors", figures.map { .integer(Int64($0.errorCount)) } ?? .absent),
        ]
        fields += latencyFields(prefix + "Request", figures?.requestLatency)
        if delivery {
            fields.append(("emptyPulls", figures.map { .integer(Int64($0.emptyPulls)) } ?? .absent))
            fields += latencyFields("delivery", figures?.deliveryLatency)
        }
        return fields
    }

    private func latencyFields(_ prefix: String, _ histogram: Histogram?) -> [Field] {
        let points: [(String, Double)] = [("P50", 0.5), ("P90", 0.9), ("P99", 0.99), ("P999", 0.999)]
        func cell(_ value: (Histogram) -> Double) -> OutputTable.Cell {
            guard let histogram, histogram.count > 0 else { return .absent }
            return .number(rounded(value(histogram) / 1000, 3))
        }
        return points.map { name, quantile in (prefix + name, cell { Double($0.value(at: quantile)) }) } + [
            (prefix + "Max", cell { Double($0.maximum) }), (prefix + "Mean", cell { $0.mean }),
        ]
    }

    private var verdictFields: [Field] {
        let verdict = result.verdict
        func count(_ value: Int?) -> OutputTable.Cell { value.map { .integer(Int64($0)) } ?? .absent }
        return [
            ("verified", .boolean(verdict != nil)), ("lost", count(verdict?.lost)),
            ("duplicated", count(verdict?.figures.duplicated)), ("reordered", count(verdict?.figures.reordered)),
            ("corrupt", count(verdict?.figures.corrupt)), ("misplaced", count(verdict?.figures.misplaced)),
            ("foreign", count(verdict?.figures.foreign)),
        ]
    }

    private var processFields: [Field] {
        let server = result.server
        func count(_ value: Int64?) -> OutputTable.Cell { value.map { .integer($0) } ?? .absent }
        func perMessage(_ nanoseconds: Int64?) -> OutputTable.Cell {
            nanoseconds.flatMap(result.microsecondsPerMessage).map { .number(rounded($0, 3)) } ?? .absent
        }
        return [
            ("clientCPUPerMessage", perMessage(result.ownCPUNanoseconds)),
            ("serverCPUPerMessage", perMessage(server?.cpuNanoseconds)),
            ("serverPeakResidentBytes", count(server?.peakResidentBytes)),
            ("serverResidentBytes", count(server?.residentBytes)), ("serverReadCalls", count(server?.readCalls)),
            ("serverWriteCalls", count(server?.writeCalls)),
            ("serverVoluntarySwitches", count(server?.voluntarySwitches)),
            ("serverInvoluntarySwitches", count(server?.involuntarySwitches)),
        ]
    }

    private func rounded(_ value: Double, _ digits: Int) -> Double {
        var factor = 1.0
        for _ in 0..<digits { factor *= 10 }
        return (value * factor).rounded() / factor
    }

    // MARK: - JSON

    /// One object; histograms are arrays of `[upper bound in µs, count]`.
    private var json: String {
        var members = fields.map { "  \(JSONText.string($0.name)): \($0.value.json)" }
        members.append("  \"errors\": \(errorsJSON)")
        let histograms: [(String, Histogram?)] = [
            ("sentRequestHistogram", result.sent?.requestLatency),
            ("receivedRequestHistogram", result.received?.requestLatency),
            ("deliveryHistogram", result.received?.deliveryLatency),
        ]
        for (name, histogram) in histograms {
            let pairs = (histogram?.buckets ?? []).map { "[\(Double($0.upperBound) / 1000), \($0.count)]" }
            members.append("  \"\(name)\": [\(pairs.joined(separator: ", "))]")
        }
        return "{\n" + members.joined(separator: ",\n") + "\n}\n"
    }

    private var errorsJSON: String {
        let parts = errors.map { error, count, remark in
            "{\"error\": \(JSONText.string(error.description)), \"count\": \(count), \"remark\": \(JSONText.string(remark))}"
        }
        return "[" + parts.joined(separator: ", ") + "]"
    }

    /// Most frequent first.
    private var errors: [(error: LoadError, count: Int, remark: String)] {
        var all = LoadFigures()
        if let sent = result.sent { all.merge(sent) }
        if let received = result.received { all.merge(received) }
        return all.errors.map { ($0.key, $0.value, all.remarks[$0.key] ?? "") }
            .sorted { ($0.1, $0.0.description) > ($1.1, $1.0.description) }
    }

    // MARK: - Text

    private func text(_ style: TextStyle) -> String {
        var text = heading + "\n"
        if let sent = result.sent { text += section("sent", sent, style) }
        if let received = result.received { text += section("received", received, style) }
        text += processText(style)
        if let verdict = result.verdict { text += verdictText(verdict, style) }
        if !errors.isEmpty { text += "\n" + style.bad("errors") + "\n" }
        for (error, count, remark) in errors {
            text += "  \(Quantity.grouped(Int64(count)))  \(error)\(remark.isEmpty ? "" : ": \(remark)")\n"
        }
        if let reason = result.endedBecause { text += "\n" + style.bad("ended early: \(reason)") + "\n" }
        return text
    }

    private var heading: String {
        let workload = result.workload
        var parts = ["\(workload.kind.rawValue)", "run \(result.runName)"]
        if workload.produces {
            parts.append("\(workload.producerConnections) × \(workload.inFlight) in flight")
            parts.append("\(workload.bodySize) bytes")
            if workload.batchSize > 1 { parts.append("batches of \(workload.batchSize)") }
            if let rate = workload.rate { parts.append("\(Quantity.grouped(Int64(rate)))/s wanted") }
        }
        if workload.consumes {
            parts.append("\(workload.consumerConnections) consumers, \(workload.pullSize) a pull")
        }
        if workload.topicCount > 1 { parts.append("\(workload.topicCount) topics") }
        parts.append(workload.encoding == .json ? "JSON headers" : "binary headers")
        parts.append("\(Quantity.decimals(result.seconds, 2)) s")
        return parts.joined(separator: " · ")
    }

    private func section(_ name: String, _ figures: LoadFigures, _ style: TextStyle) -> String {
        let rate = Int64(Double(figures.messages) / result.seconds)
        let megabytes = Double(figures.bytes) / 1e6 / result.seconds
        var text = "\n" + style.bold(name)
        text += "  \(Quantity.grouped(Int64(figures.messages))) messages"
        text += " · \(Quantity.grouped(rate)) messages/s · \(Quantity.decimals(megabytes, 1)) MB/s"
        text += " · \(Quantity.grouped(Int64(figures.requests))) requests"
        if figures.emptyPulls > 0 { text += " · \(Quantity.grouped(Int64(figures.emptyPulls))) empty pulls" }
        text += "\n"
        if figures.requestLatency.count > 0 {
            let what = name == "sent" && result.workload.rate != nil ? "request, from when it was due" : "request"
            text += latencyText(what, figures.requestLatency)
        }
        if figures.deliveryLatency.count > 0 {
            text += latencyText("delivery, from send to receive", figures.deliveryLatency)
        }
        return text
    }

    private func latencyText(_ name: String, _ histogram: Histogram) -> String {
        let points: [(String, Int64)] = [
            ("p50", histogram.value(at: 0.5)), ("p90", histogram.value(at: 0.9)), ("p99", histogram.value(at: 0.99)),
            ("p99.9", histogram.value(at: 0.999)), ("max", histogram.maximum),
        ]
        let line = points.map { "\($0.0) \(Quantity.time($0.1))" }.joined(separator: "  ")
        return "  \(name): \(line)\n" + bars(histogram)
    }

    /// One bar for each power of two of microseconds.
    private func bars(_ histogram: Histogram) -> String {
        var powers: [Int: UInt64] = [:]
        for (bound, count) in histogram.buckets {
            let microseconds = max(1, UInt64(bound) / 1000)
            powers[63 - microseconds.leadingZeroBitCount, default: 0] += count
        }
        guard let low = powers.keys.min(), let high = powers.keys.max(), let most = powers.values.max() else {
            return ""
        }
        return (low...high).map { power in
            let count = powers[power] ?? 0
            let bar = String(repeating: "█", count: Int((Double(count) / Double(most) * 40).rounded()))
            let bound = "< " + Quantity.time(Int64(1000) << Int64(power + 1))
            return "    \(Quantity.right(bound, 10))  \(Quantity.right(Quantity.grouped(Int64(count)), 12))  \(bar)"
                .trimmed + "\n"
        }.joined()
    }

    private func processText(_ style: TextStyle) -> String {
        func each(_ nanoseconds: Int64) -> String {
            result.microsecondsPerMessage(nanoseconds).map { "\(Quantity.decimals($0, 2)) µs a message" } ?? "–"
        }
        func cores(_ nanoseconds: Int64) -> String {
            Quantity.decimals(Double(nanoseconds) / Double(result.nanoseconds) * 100, 0) + " % of a core"
        }
        var text = "\n" + style.bold("processor")
        text += "  this client \(each(result.ownCPUNanoseconds)) (\(cores(result.ownCPUNanoseconds)))"
        guard let server = result.server else { return text + "\n" }
        text += " · server \(each(server.cpuNanoseconds)) (\(cores(server.cpuNanoseconds)))\n"
        text += style.bold("server memory")
        text += "  \(Quantity.decimals(Double(server.residentBytes) / 1_048_576, 1)) MiB"
        text += ", at most \(Quantity.decimals(Double(server.peakResidentBytes) / 1_048_576, 1)) MiB\n"
        text += style.bold("server calls")
        text += "  \(calls(server.readCalls)) reads, \(calls(server.writeCalls)) writes, "
        text += "\(calls(server.voluntarySwitches)) waits, \(calls(server.involuntarySwitches)) preemptions\n"
        return text
    }

    private func calls(_ count: Int64?) -> String {
        guard let count else { return "unknown" }
        guard result.messages > 0 else { return Quantity.grouped(count) }
        return "\(Quantity.grouped(count)) (\(Quantity.decimals(Double(count) / Double(result.messages), 3)) a message)"
    }

    private func verdictText(_ verdict: DeliveryVerdict, _ style: TextStyle) -> String {
        let figures = verdict.figures
        var parts = ["lost \(verdict.lost.map { Quantity.grouped(Int64($0)) } ?? "unknown")"]
        for (name, count) in [
            ("duplicated", figures.duplicated), ("out of order", figures.reordered), ("corrupt", figures.corrupt),
            ("misplaced", figures.misplaced),
        ] {
            parts.append("\(name) \(Quantity.grouped(Int64(count)))")
        }
        if figures.foreign > 0 { parts.append("not ours \(Quantity.grouped(Int64(figures.foreign)))") }
        if let first = verdict.firstLost { parts.append("first lost: \(first)") }
        let word = verdict.isClean ? style.good("verified") : style.bad("VERIFICATION FAILED")
        return "\n\(word)  \(Quantity.grouped(Int64(figures.received))) received · \(parts.joined(separator: " · "))\n"
    }
}

/// Numbers as people read them.
enum Quantity {
    /// `1234567` as `1,234,567`.
    static func grouped(_ number: Int64) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// A number with so many digits behind the point.
    static func decimals(_ number: Double, _ digits: Int) -> String {
        guard number.isFinite, abs(number) < 1e15 else { return "–" }
        var factor: Int64 = 1
        for _ in 0..<digits { factor *= 10 }
        let scaled = Int64((abs(number) * Double(factor)).rounded())
        let whole = (number < 0 ? "-" : "") + grouped(scaled / factor)
        guard digits > 0 else { return whole }
        let fraction = String(scaled % factor)
        return whole + "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// Nanoseconds in the unit that suits.
    static func time(_ nanoseconds: Int64) -> String {
        switch nanoseconds {
        case ..<1_000_000: decimals(Double(nanoseconds) / 1000, nanoseconds < 100_000 ? 1 : 0) + " µs"
        case ..<1_000_000_000: decimals(Double(nanoseconds) / 1e6, nanoseconds < 100_000_000 ? 1 : 0) + " ms"
        default: decimals(Double(nanoseconds) / 1e9, 2) + " s"
        }
    }

    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

extension String {
    /// Without blanks at the end.
    fileprivate var trimmed: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
