import Base
import Bytes
import Compression
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// Transactions: how a half message ends (37), and what brokers ask when it does not (39).
extension ClientCore {
    /// Becomes the one that answers the checks of a producer group.
    func register(checker: @escaping TransactionChecker, producerGroup: String) throws(ClientError) {
        guard !isClosed else { throw .closed() }
        guard checkers[producerGroup] == nil else {
            throw ClientError(
                .invalidArgument, "this client has a transaction producer of group \(producerGroup) already")
        }
        checkers[producerGroup] = TransactionChecks(checker)
    }

    func unregisterChecks(producerGroup: String) { checkers[producerGroup] = nil }

    /// Tells a broker what became of a half message. Nobody answers: what gets lost, the broker asks for later.
    func end(_ transaction: EndTransactionHeader, at address: String) async {
        do throws(ClientError) {
            try await post(Request(.endTransaction, transaction), to: address, deadline: deadline(nil))
        } catch {
            log.info(
                "the end of a transaction was not sent", ["message": transaction.messageID, "reason": "\(error)"])
        }
    }

    /// A broker asks what became of a half message.
    func check(_ command: ReceivedCommand, from address: String) {
        let brokerName = brokers.values.first { $0.addresses.values.contains(address) }?.brokerName ?? ""
        let body = command.buffer.bytes.extracting(command.frame.body)
        guard let header = try? command.fields(CheckTransactionStateHeader.self),
            let message = try? ReceivedMessage.decodeAll(body, brokerName: brokerName, topic: "").first
        else { return log.warning("a check of a transaction cannot be read", ["broker": address]) }
        guard let group = message.property(PropertyName.producerGroup), let checks = checkers[group] else {
            return log.info("nobody here answers the check of a transaction", ["message": message.messageID])
        }
        let check = TransactionChecks.Check(
            header: header, message: message, group: group, address: address, brokerName: brokerName)
        guard checks.add(check) else {
            return log.warning("too many checks of transactions at once", ["group": group])
        }
        startChecks(checks)
    }

    private func startChecks(_ checks: TransactionChecks) {
        while let check = checks.next() { Task { await self.run(check, of: checks) } }
    }

    private func run(_ check: TransactionChecks.Check, of checks: TransactionChecks) async {
        var message = check.message
        // A body that cannot be decompressed is shown as it is stored.
        try? message.decompress()
        var outcome = TransactionOutcome.unknown
        do { outcome = try await checks.checker(message) } catch {
            log.info("checker failed", ["message": message.messageID, "reason": "\(error)"])
        }
        await end(
            EndTransactionHeader(
                producerGroup: check.group, tranStateTableOffset: check.header.tranStateTableOffset,
                commitLogOffset: check.header.commitLogOffset, commitOrRollback: outcome.onWire, isFromCheck: true,
                messageID: message.messageID, transactionID: check.header.transactionID,
                brokerName: check.brokerName.isEmpty ? nil : check.brokerName), at: check.address)
        checks.isDone()
        startChecks(checks)
    }
}

/// The checks of one producer group that wait or run. Belongs to the loop's thread.
final class TransactionChecks {
    struct Check: Sendable {
        var header: CheckTransactionStateHeader
        var message: ReceivedMessage
        var group: String
        var address: String
        var brokerName: String
    }
    /// RocketMQ's `checkRequestHoldMax`: what comes on top is dropped, and asked again.
    static let waitingMaximum = 2000
    static let runningMaximum = 16

    let checker: TransactionChecker
    private var waiting: [Check] = []
    private var running = 0

    init(_ checker: @escaping TransactionChecker) { self.checker = checker }

    /// - Returns: false when too many wait.
    func add(_ check: Check) -> Bool {
        guard waiting.count < Self.waitingMaximum else { return false }
        waiting.append(check)
        return true
    }

    /// The next check to run; nil when there is none or enough are running.
    func next() -> Check? {
        guard running < Self.runningMaximum, !waiting.isEmpty else { return nil }
        running += 1
        return waiting.removeFirst()
    }

    func isDone() { running -= 1 }
}
