import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// 12 `QUERY_MESSAGE`, 33 `VIEW_MESSAGE_BY_ID` (remoting reference §1.9, "Query").
extension BrokerSession {
    func queryMessage(_ request: BrokerRequest) throws(Refusal) {
        let fields: QueryMessageHeader = try fields(request)
        // Whoever asks for a unique key gets all of its copies, as `QueryMessageProcessor` does.
        let asked = fields.isUniqueKey == true ? Limits.queryMessagesMaximum / 2 : Int(fields.maxMessageCount)
        let maximum = max(1, min(asked, Limits.queryMessagesMaximum))
        let topic = Array(fields.topic.utf8)
        let key = Array(fields.key.utf8)
        let records = frontend.records
        records.removeAll()
        do throws(BrokerError) {
            let offsets = try broker.query(
                topic: topic.span.bytes, key: key.span.bytes, from: fields.beginTimestamp, to: fields.endTimestamp,
                maximumCount: maximum)
            // The newest are wanted, and sent in the order of the log.
            for offset in offsets.sorted() {
                let size = records.count
                _ = try broker.readRecord(at: offset, into: records)
                // More than a frame holds would reach nobody.
                guard records.count <= Limits.frameSizeMaximum - 64 * 1024 else {
                    records.truncate(to: size)
                    break
                }
            }
        } catch {
            throw refusal(error)
        }
        guard !header.isOneway else { return }
        let last = broker.lastIndexed
        write(header.encoding) { writer in
            // Both outcomes carry the fields.
            if records.isEmpty {
                writer.begin(
                    response: .queryNotFound, to: header,
                    remark: "can not find message, maybe time range not correct")
            } else {
                writer.begin(response: .success, to: header)
            }
            writer.field("indexLastUpdateTimestamp", last.timestamp.milliseconds)
            writer.field("indexLastUpdatePhyoffset", last.offset.rawValue)
            writer.beginBody()
            writer.buffer.append(records.bytes)
            writer.end()
        }
    }

    func viewMessage(_ request: BrokerRequest) throws(Refusal) {
        let fields: ViewMessageHeader = try fields(request)
        let records = frontend.records
        records.removeAll()
        let isThere: Bool
        do throws(BrokerError) {
            isThere = try broker.readRecord(at: fields.offset, into: records)
        } catch {
            throw refusal(error)
        }
        guard isThere else {
            throw Refusal(.systemError, "can not find message by the offset, \(fields.offset)")
        }
        guard !header.isOneway else { return }
        write(header.encoding) { writer in
            writer.begin(response: .success, to: header)
            writer.beginBody()
            writer.buffer.append(records.bytes)
            writer.end()
        }
    }
}
