import Base
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// Rebalance: who reads which queue. Each member asks a broker for all members and computes the sharing by itself; every 20
/// seconds, and at once when a broker says that the members have changed (40).
extension PushConsumerCore {
    /// Starts a rebalance, or another one after that which is under way.
    func rebalanceSoon() {
        guard isRunning else { return }
        guard !isRebalancing else {
            isRebalanceWanted = true
            return
        }
        isRebalancing = true
        isRebalanceWanted = false
        Task { await self.rebalanceAll() }
    }

    private func rebalanceAll() async {
        var isComplete = true
        for topic in subscriptions.keys.sorted() where isRunning {
            do throws(ClientError) {
                if try await !rebalance(topic) { isComplete = false }
            } catch {
                log.info("rebalance failed", ["topic": topic, "reason": "\(error)"])
                isComplete = false
            }
        }
        for queue in assignments.keys where subscriptions[queue.topic] == nil { await giveUp(queue) }
        isRebalancing = false
        if isRebalanceWanted { return rebalanceSoon() }
        guard !isComplete, isRunning else { return }
        loop.schedule(afterMilliseconds: 1000) { [weak self] in self?.assumeIsolated { $0.rebalanceSoon() } }
    }

    /// - Returns: false when something is left to do soon.
    private func rebalance(_ topic: String) async throws(ClientError) -> Bool {
        let queues: [MessageQueue]
        do throws(ClientError) {
            queues = try await core.route(topic, deadline: core.deadline(nil)).subscribeQueues
        } catch {
            guard error.code == .topicNotFound else { throw error }
            return !isRetryTopicExpected(topic)
        }
        let wanted = try await share(of: queues, topic)
        guard let wanted, isRunning else { return false }
        var isComplete = true
        for queue in assignments.keys.filter({ $0.topic == topic }).sorted() where !wanted.contains(queue) {
            if await !giveUp(queue) { isComplete = false }
        }
        for assignment in assignments.values where wanted.contains(assignment.queue) && assignment.isRetiring {
            assignment.isRetiring = false
            goOn(assignment)
        }
        let added = wanted.filter { assignments[$0] == nil }
        if await !add(added) { isComplete = false }
        return isComplete
    }

    /// Whether a topic without a route is the group's retry topic, which brokers make when they first hear of the group: it is
    /// looked for a few times soon, so that the first messages that failed need not wait for the next regular rebalance.
    private func isRetryTopicExpected(_ topic: String) -> Bool {
        guard topic == SystemTopics.retry(of: group), retryTopicLooks < 10 else { return false }
        retryTopicLooks += 1
        return true
    }

    /// The queues that fall to this member; nil when the members are not known.
    private func share(of queues: [MessageQueue], _ topic: String) async throws(ClientError) -> [MessageQueue]? {
        guard isClustering else { return queues }
        guard let members = try await members(queues) else { return nil }
        return configuration.allocation.allocate(queues, to: core.identity.clientID, of: members)
    }

    private func members(_ queues: [MessageQueue]) async throws(ClientError) -> [String]? {
        guard let broker = Set(queues.map(\.brokerName)).randomElement() else { return nil }
        let address = try await core.address(of: broker, isReplicaAllowed: true)
        let request = Request(
            .getConsumerListByGroup, GetConsumerListByGroupHeader(consumerGroup: configuration.group),
            json: ConsumerIDList.self)
        do throws(ClientError) {
            let members = try await core.call(request, to: address).clientIDs.sorted()
            if members.contains(core.identity.clientID) { return members }
        } catch {
            guard error.answer != nil else { throw error }
        }
        // The broker does not know this member yet, or no longer.
        await core.sendHeartbeat(to: address)
        return nil
    }

    // MARK: - Giving up

    /// Gives up a queue: stores its offset, and lets the next member lock it.
    /// - Returns: false when a message of a locked queue is still out; the queue stays until it is answered.
    @discardableResult
    private func giveUp(_ queue: MessageQueue) async -> Bool {
        guard let assignment = assignments[queue] else { return true }
        if needsLocks, assignment.isBusy, assignment.lockedUntil > now() {
            assignment.isRetiring = true
            return false
        }
        assignments[queue] = nil
        stopPulling(assignment)
        log.info("queue given up", ["queue": "\(queue)", "dropped": "\(assignment.process.count)"])
        await commitOffset(assignment, isAnswerAwaited: true)
        if needsLocks { await unlock([queue]) }
        return true
    }

    // MARK: - Taking over

    /// - Returns: false when a queue could not be taken over yet.
    private func add(_ queues: [MessageQueue]) async -> Bool {
        guard !queues.isEmpty else { return true }
        let locked = needsLocks ? await lock(queues) : Set(queues)
        var isComplete = locked.count == queues.count
        for queue in queues where locked.contains(queue) {
            do throws(ClientError) {
                let offset = try await initialOffset(queue)
                guard isRunning, assignments[queue] == nil else { continue }
                log.info("queue assigned", ["queue": "\(queue)", "offset": "\(offset)"])
                assign(queue, from: offset, lockedUntil: lockEnd())
            } catch {
                log.info("queue not taken over", ["queue": "\(queue)", "reason": "\(error)"])
                isComplete = false
            }
        }
        return isComplete
    }

    // MARK: - Locks

    /// RocketMQ's clients trust a lock for 30 s; brokers keep it for 60 (remoting reference §1.9).
    private func lockEnd() -> MonotonicTime { now().advanced(by: .seconds(30)) }

    /// Locks queues at their brokers (41).
    /// - Returns: those that are locked now.
    private func lock(_ queues: [MessageQueue]) async -> Set<MessageQueue> {
        var locked: Set<MessageQueue> = []
        for (broker, queues) in Dictionary(grouping: queues, by: \.brokerName) {
            let body = LockBatchBody(
                clientID: core.identity.clientID, consumerGroup: configuration.group, queues: queues.sorted())
            let request = Request(.lockBatch, body: body.encoded(), json: LockBatchResponseBody.self)
            do throws(ClientError) {
                let address = try await core.address(of: broker)
                locked.formUnion(try await core.call(request, to: address).lockedQueues)
            } catch {
                log.info("queues not locked", ["broker": broker, "reason": "\(error)"])
            }
        }
        return locked
    }

    func renewLocks() async {
        let queues = assignments.keys.sorted()
        guard isRunning, !queues.isEmpty else { return }
        let locked = await lock(queues)
        for queue in queues {
            guard let assignment = assignments[queue] else { continue }
            guard locked.contains(queue) else {
                // Delivery stops when the trust in the lock ends; until then the broker may only be out of reach.
                log.warning("lock not renewed", ["queue": "\(queue)"])
                continue
            }
            assignment.lockedUntil = lockEnd()
            deliver(assignment)
        }
    }

    func unlock(_ queues: [MessageQueue]) async {
        for (broker, queues) in Dictionary(grouping: queues, by: \.brokerName) {
            let body = LockBatchBody(
                clientID: core.identity.clientID, consumerGroup: configuration.group, queues: queues.sorted())
            guard let address = try? await core.address(of: broker) else { continue }
            _ = try? await core.call(Request(.unlockBatch, body: body.encoded()), to: address)
        }
    }
}
