import Base
import BrokerCore
import Runtime
import Storage
import Telemetry

/// Looks through the store of a broker that is not running, and mends it: `apus store check` and `apus store repair`.
public struct StoreMaintenance {
    private let configuration: Configuration
    private let log: Log

    public init(_ configuration: Configuration, log: Log) {
        self.configuration = configuration
        self.log = log
    }

    /// What a repair found and did.
    public struct Repair: Sendable {
        public var found: StoreReport
        /// Sentences, in the order in which it was done.
        public var actions: [String]
        /// What a check says afterwards; nil when nothing was done.
        public var remaining: StoreReport?
    }

    /// Walks the whole store. Changes nothing.
    /// - Throws: ``ServerError`` when a broker has the store, or there is none.
    public func check() throws(ServerError) -> StoreReport {
        let inspection = try inspection()
        defer { inspection.close() }
        return try Self.wording { () throws(StorageError) in try inspection.run() }
    }

    /// Mends what can be mended, then starts and stops the broker's store once, so that its views are made from the log.
    /// - Parameter isDryRun: whether to stop after looking.
    public func repair(isDryRun: Bool) throws(ServerError) -> Repair {
        var result = try mend(isDryRun: isDryRun)
        guard !isDryRun, !result.found.isClean else { return result }
        // With files under their right names, the rest can be seen.
        while result.found.damages.contains(where: { $0.kind == .misplacedSegment }) {
            let next = try mend(isDryRun: false)
            result.actions += next.actions
            guard next.found.damages != result.found.damages else { break }
            result.found.damages.removeAll { $0.kind == .misplacedSegment }
            result.found.damages += next.found.damages
            if next.actions.isEmpty { break }
        }
        if !result.found.isForeign, result.found.damages.allSatisfy(\.isMendable) {
            try startOnce()
            result.actions.append("started the store once and stopped it: its views are those of the log")
        }
        result.remaining = try check()
        return result
    }

    private func mend(isDryRun: Bool) throws(ServerError) -> Repair {
        let inspection = try inspection()
        defer { inspection.close() }
        let report = try Self.wording { () throws(StorageError) in try inspection.run() }
        let repair = StoreRepair(inspection)
        if !isDryRun { try Self.wording { () throws(StorageError) in try repair.run() } }
        return Repair(found: report, actions: repair.actions, remaining: nil)
    }

    private func inspection() throws(ServerError) -> StoreInspection {
        let disk = LoopDisk(loop: try loop())
        let store = configuration.broker.storeConfiguration
        return try Self.wording { () throws(StorageError) in
            try StoreInspection(store, disk: disk, stateView: Broker.emptyState())
        }
    }

    private func startOnce() throws(ServerError) {
        let loop = try loop()
        let settings = configuration.broker
        try Self.wording { () throws(StorageError) in
            let broker = try Broker(
                settings.brokerConfiguration(address: .loopback(port: Int32(settings.listener.port))),
                store: settings.storeConfiguration, disk: LoopDisk(loop: loop), clock: loop.clock,
                random: SystemRandom(), log: log.labelled("broker"))
            try broker.close()
        }
    }

    private func loop() throws(ServerError) -> EventLoop {
        do throws(RuntimeError) {
            return try EventLoop(log: log.labelled("loop"))
        } catch {
            throw ServerError("the event loop cannot be made: \(error)")
        }
    }

    private static func wording<R>(_ body: () throws(StorageError) -> R) throws(ServerError) -> R {
        do {
            return try body()
        } catch .locked(let path) {
            throw ServerError("\(path) is held by a running broker; stop it first")
        } catch {
            throw ServerError(error.description)
        }
    }
}
