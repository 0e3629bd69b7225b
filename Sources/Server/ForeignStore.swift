import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// The settings files of RocketMQ beside a store that it wrote: topics, groups, consumer offsets and how far delayed messages
/// were delivered, in `config/*.json`. They are read once, at the first start on such a store, and become records of the log.
enum ForeignStore {
    static func read(root: String, disk: any Disk) throws(ServerError) -> ForeignState {
        var state = ForeignState()
        let topics: TopicConfigSerializeWrapper? = try file("topics", root, disk)
        state.topics = topics?.topics ?? []
        let groups: SubscriptionGroupWrapper? = try file("subscriptionGroup", root, disk)
        state.groups = groups?.groups ?? []
        let offsets: ConsumerOffsetSerializeWrapper? = try file("consumerOffset", root, disk)
        for (key, queues) in offsets?.offsets ?? [:] {
            guard let separator = key.firstIndex(of: "@") else { continue }
            for (queueID, offset) in queues where queueID >= 0 && offset >= 0 {
                state.offsets.append(
                    ForeignState.Offset(
                        topic: String(key[..<separator]), group: String(key[key.index(after: separator)...]),
                        queueID: QueueID(queueID), offset: QueueOffset(offset)))
            }
        }
        let delays: DelayOffsetSerializeWrapper? = try file("delayOffset", root, disk)
        for (level, offset) in delays?.offsets ?? [:] where offset >= 0 {
            state.delayOffsets[level] = QueueOffset(offset)
        }
        return state
    }

    /// The content of `config/<name>.json`, or of the backup beside it; nil when neither is there.
    private static func file<Body: CommandBody>(
        _ name: String, _ root: String, _ disk: any Disk
    ) throws(ServerError) -> Body? {
        for suffix in [".json", ".json.bak"] {
            let path = "\(root)/config/\(name)\(suffix)"
            guard disk.exists(path) else { continue }
            let bytes = try content(path, disk)
            // RocketMQ leaves an empty file where it had nothing to say.
            guard !bytes.isEmpty else { continue }
            do throws(BodyError) {
                return try Body(parsing: bytes.span.bytes)
            } catch {
                throw ServerError("\(path): \(error); mend or remove the file, then start again")
            }
        }
        return nil
    }

    private static func content(_ path: String, _ disk: any Disk) throws(ServerError) -> [UInt8] {
        do throws(DiskError) {
            let file = try disk.open(path, .existing)
            var bytes = [UInt8](repeating: 0, count: try file.size())
            var failure: DiskError?
            let count = bytes.withUnsafeMutableBytes { buffer in
                do throws(DiskError) {
                    return try file.read(into: buffer, at: 0)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            return Array(bytes[..<count])
        } catch {
            throw ServerError("\(path) cannot be read: \(error)")
        }
    }
}
