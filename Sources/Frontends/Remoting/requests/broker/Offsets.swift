import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// 14, 15, 29, 30, 31, 32: where groups stand and how far queues reach (remoting reference §1.9, "Offsets").
extension BrokerSession {
    func queryConsumerOffset(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let topic = span.extracting(try field("topic", in: span))
        let group = span.extracting(try field("consumerGroup", in: span))
        let queueID = QueueID(try number("queueId", in: span))
        if let offset = broker.consumerOffset(topic: topic, group: group, queueID: queueID) {
            return answer(request) { $0.field("offset", offset.rawValue) }
        }
        // A group without an offset begins at 0 when nothing was ever removed and the first message is still at hand;
        // otherwise the client decides.
        let range: Range<Int64>
        do throws(BrokerError) {
            range = try broker.range(topic: topic, queueID: queueID)
        } catch {
            throw refusal(error)
        }
        let mayBeZero = header.bool(ifPresent: "setZeroIfNotFound", in: span) ?? true
        if mayBeZero, range.lowerBound <= 0, broker.isFirstMessageRecent(topic: topic, queueID: queueID) {
            return answer(request) { $0.field("offset", Int64(0)) }
        }
        throw Refusal(.queryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
    }

    func updateConsumerOffset(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let topic = span.extracting(try field("topic", in: span))
        let group = span.extracting(try field("consumerGroup", in: span))
        let queueID = QueueID(try number("queueId", in: span))
        let offset = QueueOffset(try longNumber("commitOffset", in: span))
        do throws(BrokerError) {
            try broker.commitOffset(topic: topic, group: group, queueID: queueID, offset: offset)
        } catch {
            throw refusal(error)
        }
        guard !header.isOneway else { return }
        // Who asks is told when the offset is as safe as a message.
        let end = try call { () throws(BrokerError) in try broker.logOffsets() }
        park(end, waitsForFlush: true, hasRegion: false) { _ in }
    }

    func searchOffset(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let topic = span.extracting(try field("topic", in: span))
        let queueID = QueueID(try number("queueId", in: span))
        let timestamp = Timestamp(milliseconds: try longNumber("timestamp", in: span))
        let offset: QueueOffset
        do throws(BrokerError) {
            offset = try broker.offset(topic: topic, queueID: queueID, storedAtOrAfter: timestamp)
        } catch {
            throw refusal(error)
        }
        answer(request) { $0.field("offset", offset.rawValue) }
    }

    func getMaximumOffset(_ request: BrokerRequest) throws(Refusal) {
        let range = try range(request)
        answer(request) { $0.field("offset", range.upperBound) }
    }

    func getMinimumOffset(_ request: BrokerRequest) throws(Refusal) {
        let range = try range(request)
        answer(request) { $0.field("offset", range.lowerBound) }
    }

    private func range(_ request: BrokerRequest) throws(Refusal) -> Range<Int64> {
        let input = request.input
        let span = input.bytes
        let topic = span.extracting(try field("topic", in: span))
        let queueID = QueueID(try number("queueId", in: span))
        do throws(BrokerError) {
            return try broker.range(topic: topic, queueID: queueID)
        } catch {
            throw refusal(error)
        }
    }

    func getEarliestStoreTime(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let topic = span.extracting(try field("topic", in: span))
        let queueID = QueueID(try number("queueId", in: span))
        let timestamp: Timestamp?
        do throws(BrokerError) {
            timestamp = try broker.earliestStoreTimestamp(topic: topic, queueID: queueID)
        } catch {
            throw refusal(error)
        }
        answer(request) { $0.field("timestamp", timestamp?.milliseconds ?? -1) }
    }

    // MARK: - Fields

    /// Where a field that must be there lies.
    func field(_ name: StaticString, in span: RawSpan) throws(Refusal) -> Range<Int> {
        guard let range = header.value(name, in: span) else {
            throw Refusal(HeaderError.missing(field: name.description))
        }
        return range
    }

    func number(_ name: StaticString, in span: RawSpan) throws(Refusal) -> Int32 {
        do throws(HeaderError) {
            return try header.int32(name, in: span)
        } catch {
            throw Refusal(error)
        }
    }

    func longNumber(_ name: StaticString, in span: RawSpan) throws(Refusal) -> Int64 {
        do throws(HeaderError) {
            return try header.int64(name, in: span)
        } catch {
            throw Refusal(error)
        }
    }

    /// The typed fields of the request.
    func fields<Fields: CommandFields>(_ request: BrokerRequest) throws(Refusal) -> Fields {
        let input = request.input
        do throws(HeaderError) {
            return try Fields(header, in: input.bytes)
        } catch {
            throw Refusal(error)
        }
    }

    /// The typed body of the request.
    func body<Body: CommandBody>(_ request: BrokerRequest) throws(Refusal) -> Body {
        let input = request.input
        let span = input.bytes
        guard request.body.count <= Limits.documentSizeMaximum else {
            throw Refusal(
                .systemError, "a body of \(request.body.count) bytes is larger than \(Limits.documentSizeMaximum)")
        }
        do throws(BodyError) {
            return try Body(parsing: span.extracting(request.body))
        } catch {
            throw Refusal(error)
        }
    }
}
