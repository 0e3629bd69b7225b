import Base
import BrokerCore
import Model
import RemotingProtocol
import Runtime
import Storage
import Telemetry

/// 28 `GET_BROKER_RUNTIME_INFO`, 315 `VIEW_BROKER_STATS_DATA`: what a broker says about its own running.
///
/// Tools print the table as it is; `clusterList` and dashboards split the `…Tps` values at blanks. What has no meaning here, such
/// as the queues of thread pools that there are not, says zero.
extension BrokerSession {
    func getRuntimeInformation(_ request: BrokerRequest) throws(Refusal) {
        var table: [String: String] = [:]
        addTotals(to: &table)
        addRates(to: &table)
        do throws(StorageError) {
            try addStore(to: &table)
        } catch {
            throw Refusal(error)
        }
        addLoop(to: &table)
        frontend.addFaults(to: &table)
        addRefusals(to: &table)
        for (name, value) in Self.withoutMeaning { table[name] = value }
        table["brokerVersionDesc"] = "V4_9_8"
        table["brokerVersion"] = String(CommandVersion.own)
        table["bootTimestamp"] = String(broker.started.milliseconds)
        table["runtime"] = Self.words(milliseconds: broker.timestamp.milliseconds - broker.started.milliseconds)
        answer(request, body: KVTable(table: table))
    }

    private func addTotals(to table: inout [String: String]) {
        let metrics = broker.metrics
        let days = broker.dailyMetrics
        table["msgPutTotalYesterdayMorning"] = String(days.yesterday.messagesSent)
        table["msgPutTotalTodayMorning"] = String(days.today.messagesSent)
        table["msgPutTotalTodayNow"] = String(metrics.messagesSent)
        table["msgGetTotalYesterdayMorning"] = String(days.yesterday.messagesFetched)
        table["msgGetTotalTodayMorning"] = String(days.today.messagesFetched)
        table["msgGetTotalTodayNow"] = String(metrics.messagesFetched)
        table["putMessageTimesTotal"] = String(metrics.messagesSent)
        table["putMessageFailedTimes"] = String(metrics.sendsRefused)
        table["putMessageSizeTotal"] = String(metrics.bytesSent)
        let average = metrics.messagesSent > 0 ? Double(metrics.bytesSent) / Double(metrics.messagesSent) : 0
        table["putMessageAverageSize"] = String(average)
        // RocketMQ has no words for these in this table; the names are those of its metrics from 5.x on, without `rocketmq_`.
        table["half_messages"] = String(broker.pendingTransactionCount)
        table["commit_messages_total"] = String(metrics.transactionsCommitted)
        table["rollback_messages_total"] = String(metrics.transactionsRolledBack)
        table["check_transaction_total"] = String(metrics.transactionsChecked)
        table["discarded_transaction_total"] = String(metrics.transactionsGivenUp)
        table["timing_messages"] = String(broker.pendingTimerCount)
        table["timer_enqueue_total"] = String(metrics.timersScheduled)
        table["timer_dequeue_total"] = String(metrics.timersFired)
        table["send_to_dlq_messages_total"] = String(metrics.deadLetters)
        // These are our own.
        table["timersRolled"] = String(metrics.timersRolled)
        table["timersRecalled"] = String(metrics.timersRecalled)
        table["timersLost"] = String(metrics.timersLost)
        table["timerLatenessMillisMax"] = String(metrics.timerLatenessMaximum)
        table["messagesSentBack"] = String(metrics.retries)
    }

    private func addRates(to table: inout [String: String]) {
        let recent = broker.recentMetrics
        func rates(_ counters: KeyPath<BrokerMetrics, Int64>...) -> String {
            [10, 60, 600].map { seconds in
                String(counters.reduce(0.0) { $0 + recent.rate($1, seconds: seconds) })
            }.joined(separator: " ")
        }
        table["putTps"] = rates(\.messagesSent)
        table["getFoundTps"] = rates(\.fetchesFound)
        table["getMissTps"] = rates(\.fetchesMissed)
        table["getTotalTps"] = rates(\.fetchesFound, \.fetchesMissed)
        table["getTransferedTps"] = rates(\.messagesFetched)
        // As RocketMQ 5 spells it; its clusterList and exportMetrics fail without, and without a timer's figures.
        table["getTransferredTps"] = table["getTransferedTps"]
        table["timerCongestNum"] = String(broker.pendingTimerCount)
        table["timerEnqueueTps"] = String(recent.rate(\.timersScheduled, seconds: 10))
        table["timerDequeueTps"] = String(recent.rate(\.timersFired, seconds: 10))
    }

    /// Names of our own: how long anything had to wait for the broker's thread.
    private func addLoop(to table: inout [String: String]) {
        guard let loop = frontend.loop else { return }
        let turns = loop.turnDurations
        table["loopTurns"] = String(turns.count)
        table["loopTurnMicrosP50"] = String(turns.value(at: 0.5) / 1_000)
        table["loopTurnMicrosP99"] = String(turns.value(at: 0.99) / 1_000)
        table["loopTurnMicrosP999"] = String(turns.value(at: 0.999) / 1_000)
        table["loopTurnMicrosMax"] = String(turns.maximum / 1_000)
    }

    private func addStore(to table: inout [String: String]) throws(StorageError) {
        let store = broker.store
        let space = try store.space()
        let ratio = Self.twoDecimals(space.usedRatio)
        // Not RocketMQ's: why the store takes no messages any more.
        if let failure = store.failure { table["storeFailure"] = failure.description }
        table["commitLogDirCapacity"] =
            "Total : \(Self.size(space.total)), Free : \(Self.size(space.available))."
        table["commitLogDiskRatio"] = ratio
        table["commitLogDiskRatio_\(store.configuration.commitLogPath)"] = ratio
        table["consumeQueueDiskRatio"] = ratio
        table["commitLogMinOffset"] = String(store.commitLog.start.rawValue)
        table["commitLogMaxOffset"] = String(store.commitLog.end.rawValue)
        table["dispatchBehindBytes"] = String(store.commitLog.end.bytes(since: broker.written))
        table["remainHowManyDataToCommit"] = Self.size(Int64(store.commitLog.end.bytes(since: broker.written)))
        table["remainHowManyDataToFlush"] = Self.size(Int64(broker.written.bytes(since: broker.flushed)))
        table["earliestMessageTimeStamp"] = String(try store.earliestStoreTimestamp()?.milliseconds ?? -1)
    }

    /// Of RocketMQ's names those that nothing here stands behind.
    private static let withoutMeaning: [(String, String)] = {
        var rows: [(String, String)] = []
        for (name, capacity) in [("send", 10_000), ("pull", 100_000), ("query", 20_000)] {
            rows.append(("\(name)ThreadPoolQueueSize", "0"))
            rows.append(("\(name)ThreadPoolQueueCapacity", String(capacity)))
            rows.append(("\(name)ThreadPoolQueueHeadWaitTimeMills", "0"))
        }
        return rows + [
            ("EndTransactionQueueSize", "0"), ("EndTransactionThreadPoolQueueCapacity", "100000"),
            ("pageCacheLockTimeMills", "0"), ("startAcceptSendRequestTimeStamp", "0"),
            ("remainTransientStoreBufferNumbs", String(Int32.max)), ("dispatchMaxBuffer", "0"),
            ("putMessageEntireTimeMax", "0"), ("getMessageEntireTimeMax", "0"), ("putLatency99", "0.00"),
            ("putLatency999", "0.00"), ("brokerActive", "true"), ("timerReadBehind", "0"), ("timerOffsetBehind", "0"),
            (
                "putMessageDistributeTime",
                [
                    "<=0ms", "0~10ms", "10~50ms", "50~100ms", "100~200ms", "200~500ms", "500ms~1s", "1~2s", "2~3s",
                    "3~4s", "4~5s", "5~10s", "10s~",
                ].map { "[\($0)]:0 " }.joined()
            ),
        ]
    }()

    // MARK: - Words

    /// `[ 0 days, 0 hours, 5 minutes, 12 seconds ]`.
    static func words(milliseconds: Int64) -> String {
        let seconds = max(0, milliseconds / 1_000)
        return
            "[ \(seconds / 86_400) days, \(seconds / 3_600 % 24) hours, \(seconds / 60 % 60) minutes, \(seconds % 60) seconds ]"
    }

    /// A size as RocketMQ prints it: `0 B`, `68.9 GiB`.
    static func size(_ bytes: Int64) -> String {
        guard bytes >= 1_024 else { return "\(bytes) B" }
        var value = Double(bytes) / 1_024
        var unit = 0
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        while value >= 1_024, unit < units.count - 1 {
            value /= 1_024
            unit += 1
        }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// A share from 0 to 1: `0.28`.
    static func twoDecimals(_ share: Double) -> String {
        let hundredths = Int64((share * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }

    // MARK: - Statistics

    /// 315: nothing is counted by topic or group, which is also what RocketMQ answers before the first message.
    func viewStatistics(_ request: BrokerRequest) throws(Refusal) {
        let fields: ViewBrokerStatsDataHeader = try fields(request)
        throw Refusal(.systemError, "The stats <\(fields.statsName)> <\(fields.statsKey)> not exist")
    }
}
