import Base
import Model
import RemotingProtocol
import Telemetry

/// Pulling: one task for each assigned queue, for as long as it is assigned.
extension PushConsumerCore {
    func startPulling(_ assignment: Assignment) {
        let queue = assignment.queue
        let number = assignment.number
        assignment.puller = Task { await self.pull(queue, number) }
    }

    private func current(_ queue: MessageQueue, _ number: UInt64) -> Assignment? {
        guard isRunning, !Task.isCancelled, let assignment = assignments[queue], assignment.number == number else {
            return nil
        }
        return assignment
    }

    private func pull(_ queue: MessageQueue, _ number: UInt64) async {
        while let assignment = current(queue, number) {
            if !mayPull(assignment) {
                await withCheckedContinuation { assignment.room = $0 }
            } else if needsLocks, assignment.lockedUntil <= now() {
                await pause(.milliseconds(200))
            } else {
                await pullOnce(assignment)
            }
        }
    }

    private func pause(_ duration: Duration) async { try? await Task.sleep(for: duration) }

    private func pullOnce(_ assignment: Assignment) async {
        let queue = assignment.queue
        guard let subscription = subscriptions[queue.topic] else { return await pause(configuration.pullRetryDelay) }
        let offset = assignment.process.pulledTo
        let pull = Pull(
            group: configuration.group, queue: queue, offset: offset,
            messagesMaximum: configuration.pullBatchMaximum, subscription: subscription,
            suspension: configuration.pullSuspension)
        // What the broker may hold, and as much again, as in RocketMQ (15 s and 30 s).
        let deadline = now().advanced(by: configuration.pullSuspension + .seconds(15))
        do throws(ClientError) {
            let address = try await core.address(
                of: queue, brokerID: assignment.brokerID, isReplicaAllowed: true, deadline: deadline)
            let answer = try await core.call(pull.request, to: address, deadline: deadline)
            guard current(queue, assignment.number) != nil, assignment.process.pulledTo == offset else { return }
            take(answer, assignment)
        } catch {
            guard isRunning, error.code != .cancelled else { return }
            await recover(assignment, error)
        }
    }

    private func take(_ answer: PullAnswer, _ assignment: Assignment) {
        assignment.brokerID = answer.suggestedBrokerID
        if answer.kind == .moved {
            log.warning(
                "the broker does not have the offset, going on elsewhere",
                [
                    "queue": "\(assignment.queue)", "offset": "\(assignment.process.pulledTo)",
                    "next": "\(answer.nextOffset)",
                ])
        }
        assignment.process.append(answer.messages, nextOffset: answer.nextOffset)
        deliver(assignment)
    }

    /// Does what can be done about a failed pull, and waits.
    private func recover(_ assignment: Assignment, _ error: ClientError) async {
        log.info("pull failed", ["queue": "\(assignment.queue)", "reason": "\(error)"])
        assignment.brokerID = 0
        switch error.answer?.code {
        case ResponseCode.subscriptionNotExist.rawValue, ResponseCode.subscriptionNotLatest.rawValue,
            ResponseCode.subscriptionGroupNotExist.rawValue:
            // The broker does not know this member, for instance because it was restarted.
            if let address = try? await core.address(of: assignment.queue.brokerName) {
                await core.sendHeartbeat(to: address)
            }
            await pause(.milliseconds(200))
        default:
            await pause(configuration.pullRetryDelay)
        }
    }
}
