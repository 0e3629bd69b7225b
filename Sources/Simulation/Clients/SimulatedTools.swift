import Base
import Bytes
import Model
import RemotingProtocol

/// A client that commits growing offsets, waits for the answers, and knows so what a broker must still know after a crash.
final class OffsetKeeper: SimulatedClient {
    override func start() { work() }

    private func work() {
        later(milliseconds: 2 * world.pace + Int64(random(1_000))) { [self] in
            if world.isProducing { commit() }
            work()
        }
    }

    private func commit() {
        let broker = random(world.brokers.count)
        let key = Oracle.QueueKey(broker: broker, topic: ClusterSimulation.orders, queue: 0)
        let offset = (world.oracle.committed[key]?.asked ?? 0) + 1 + Int64(random(5))
        world.oracle.askedToCommit(key, offset)
        let run = world.brokers[broker].run
        ask(world.brokers[broker].node, .updateConsumerOffset) { writer in
            UpdateConsumerOffsetHeader(
                consumerGroup: ClusterSimulation.keeperGroup, topic: world.topicName(ClusterSimulation.orders),
                queueID: QueueID(0), commitOffset: QueueOffset(offset)
            ).write(into: &writer)
        } _: { [self] answer in
            guard let answer, answer.code == .success, world.brokers[broker].run == run else { return }
            world.commitAcknowledged(key, offset)
        }
    }
}

/// A client that reads anywhere, without a group's offsets, as tools and broadcast consumers do.
final class QueueReader: SimulatedClient {
    override func start() { work() }

    private func work() {
        later(milliseconds: 2 * world.pace + Int64(random(1_000))) { [self] in
            read()
            work()
        }
    }

    private func read() {
        let topic = world.permanentTopics[random(world.permanentTopics.count)]
        route(topic) { [self] route in
            guard !route.isEmpty else { return }
            let queues = route[random(route.count)]
            guard queues.readCount > 0 else { return }
            let key = Oracle.QueueKey(broker: queues.broker, topic: topic, queue: random(Int(queues.readCount)))
            read(key, from: Int64(random(60)))
        }
    }

    private func read(_ key: Oracle.QueueKey, from offset: Int64) {
        ask(world.brokers[key.broker].node, .pullMessage) { writer in
            PullMessageHeader.write(
                into: &writer, consumerGroup: "readers", topic: world.topicName(key.topic),
                queueID: QueueID(Int32(key.queue)), queueOffset: QueueOffset(offset), maxMessageCount: 8,
                flags: [.subscription], commitOffset: QueueOffset(0), suspendTimeoutMilliseconds: 0, subscription: "*",
                subscriptionVersion: 0)
        } _: { [self] answer in
            guard let answer else { return }
            guard answer.code == .success else {
                if ![.pullNotFound, .pullRetryImmediately, .pullOffsetMoved].contains(answer.code) {
                    world.pullRefused(key.broker, answer.header.code)
                }
                return
            }
            let input = answer.input
            let span = input.bytes.extracting(answer.body)
            var position = 0
            while position < span.byteCount {
                let rest = span.extracting(position..<span.byteCount)
                guard let record = try? MessageRecord(rest) else {
                    return world.fail("P3", "\(world.describe(key)) served something that is no record")
                }
                guard world.oracle.received(record, rest.extracting(0..<record.size), key) != nil else { return }
                world.coverage.reads += 1
                position += record.size
            }
        }
    }
}

/// An operator who makes, changes and removes topics, and looks whether what was made is still there.
final class TopicOperator: SimulatedClient {
    override func start() { work() }

    private func work() {
        later(milliseconds: 4_000 + Int64(random(6_000))) { [self] in
            if world.isProducing { change() }
            work()
        }
    }

    private func change() {
        let broker = random(world.brokers.count)
        let topic = world.temporaryTopics[random(world.temporaryTopics.count)]
        if chance(3) { remove(topic, broker) } else { put(topic, broker, queues: Int32(1 + random(3))) }
    }

    private func put(_ topic: Int, _ broker: Int, queues: Int32) {
        world.topicUncertain(topic, broker)
        let run = world.brokers[broker].run
        ask(world.brokers[broker].node, .updateAndCreateTopic) { writer in
            CreateTopicHeader(
                topic: world.topicName(topic), defaultTopic: "TBW102", readQueueCount: queues, writeQueueCount: queues,
                permission: .readWrite
            ).write(into: &writer)
        } _: { [self] answer in
            guard let answer, answer.code == .success, world.brokers[broker].run == run else { return }
            world.coverage.topicChanges += 1
            world.topicKnown(topic, broker, queues: queues)
        }
    }

    private func remove(_ topic: Int, _ broker: Int) {
        world.topicUncertain(topic, broker)
        let run = world.brokers[broker].run
        ask(world.brokers[broker].node, .deleteTopicInBroker) { writer in
            DeleteTopicHeader(topic: world.topicName(topic)).write(into: &writer)
        } _: { [self] answer in
            guard let answer, answer.code == .success, world.brokers[broker].run == run else { return }
            world.coverage.topicChanges += 1
            // Producers bring it back whenever they like: nothing is known of a removed topic.
        }
    }
}
