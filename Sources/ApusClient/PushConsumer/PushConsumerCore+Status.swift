import Base
import Bytes
import Model

/// What a push consumer says of itself.
extension PushConsumerCore {
    /// Where it stands in the queues of a topic that it has.
    func positions(ofTopic topic: String) -> [MessageQueue: QueueOffset] {
        var positions: [MessageQueue: QueueOffset] = [:]
        for (queue, assignment) in assignments where queue.topic == topic {
            positions[queue] = assignment.process.commitOffset
        }
        return positions
    }

    /// The document that tools show (307). Figures that are not kept here, such as rates, are left out.
    func runningInformation(nameServers: String) -> JSONValue {
        .object([
            JSONValue.Member("mqTable", .object(assignments.keys.sorted().compactMap(queueInformation))),
            JSONValue.Member(
                "properties",
                [
                    "PROP_CLIENT_VERSION": "V4_9_8", "PROP_NAMESERVER_ADDR": .string(nameServers),
                    "PROP_CONSUME_TYPE": "CONSUME_PASSIVELY",
                    "PROP_CONSUMEORDERLY": .string("\(configuration.isOrdered)"),
                    "PROP_THREADPOOL_CORE_SIZE": "0",
                ]),
            JSONValue.Member("statusTable", .object([])),
            JSONValue.Member(
                "subscriptionSet",
                .array(
                    subscriptions.values.sorted { $0.topic < $1.topic }.map { subscription in
                        [
                            "classFilterMode": false, "topic": .string(subscription.topic),
                            "subString": .string(subscription.expression),
                            "expressionType": .string(subscription.expressionType),
                            "subVersion": .integer(subscription.version),
                            "tagsSet": .array(subscription.tags.map { .string($0) }),
                            "codeSet": .array(subscription.tagHashes.map { .integer(Int64($0)) }),
                        ]
                    })),
        ])
    }

    /// `ProcessQueueInfo`, under its queue.
    private func queueInformation(_ queue: MessageQueue) -> JSONValue.Member? {
        guard let assignment = assignments[queue] else { return nil }
        let process = assignment.process
        let key: JSONValue = [
            "brokerName": .string(queue.brokerName), "queueId": .integer(Int64(queue.queueID.rawValue)),
            "topic": .string(queue.topic),
        ]
        let isLocked = needsLocks && assignment.lockedUntil > now()
        return JSONValue.Member(
            key,
            [
                "commitOffset": .integer(assignment.committed?.rawValue ?? -1),
                "cachedMsgMinOffset": .integer(process.count > 0 ? process.commitOffset.rawValue : 0),
                "cachedMsgMaxOffset": .integer(process.count > 0 ? process.pulledTo.rawValue - 1 : 0),
                "cachedMsgCount": .integer(Int64(process.count)),
                "cachedMsgSizeInMiB": .integer(Int64(process.bytes / (1024 * 1024))),
                "transactionMsgMinOffset": 0, "transactionMsgMaxOffset": 0,
                "transactionMsgCount": .integer(Int64(process.deliveredCount)), "locked": .bool(isLocked),
                "tryUnlockTimes": 0, "lastLockTimestamp": 0, "droped": .bool(assignment.isRetiring),
                "lastPullTimestamp": 0, "lastConsumeTimestamp": 0,
            ])
    }
}
