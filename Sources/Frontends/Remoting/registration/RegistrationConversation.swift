import Base
import Bytes
import Model
import NameService
import RemotingProtocol
import Telemetry

/// What a broker says to one name server over one connection, without any I/O. Belongs to the broker's thread.
///
/// One request is unanswered at most. What happens meanwhile gathers, and is said next:
///
///     due               request
///     stopping          104 unregister
///     all topics        103 with every topic
///     changed topics    103 with those alone, and the new data version
///     renewal           322 with the data version; 103 with every topic when the answer is "changed"
///
/// A name server reads the topics of a registration only when the data version differs, and never forgets any, so a
/// registration that lists the changed topics alone is enough, as long as it has all that came before it.
///
/// - Invariant: ``acknowledged`` is a data version of which the name server has every topic, or nil.
package final class RegistrationConversation {
    private enum Request: Equatable {
        case all(DataVersion)
        case changed(DataVersion)
        case query(DataVersion)
        case unregister
    }

    private let broker: RegisteredBroker
    private let configuration: NameServerRegistrarConfiguration
    private let log: Log
    private let header = CommandHeader()
    private var lastOpaque: Int32 = 0
    private var unanswered: (request: Request, opaque: Int32, deadline: MonotonicTime)?

    private(set) var acknowledged: DataVersion?
    /// Topics that changed since the last registration was written, by name.
    private var changed: [String: TopicConfiguration] = [:]
    private var isVersionDue = false
    private var isFullDue = true
    private var isRenewalDue = false
    private var isStopping = false
    /// The goodbye was answered.
    private(set) var hasLeft = false

    package init(_ broker: RegisteredBroker, _ configuration: NameServerRegistrarConfiguration, log: Log) {
        self.broker = broker
        self.configuration = configuration
        self.log = log
    }

    // MARK: - What happens

    /// Notes changed topics; a deleted one need not be listed, since name servers are told of deletions by whoever deletes.
    package func topicsChanged(_ topics: [TopicConfiguration]) {
        for topic in topics { changed[topic.name] = topic }
        isVersionDue = true
    }

    package func renew() { isRenewalDue = true }
    package func registerAll() { isFullDue = true }
    package func stop() { isStopping = true }

    /// True when the name server took longer to answer than it may.
    package func isOverdue(at now: MonotonicTime) -> Bool {
        unanswered.map { $0.deadline < now } ?? false
    }

    // MARK: - What is said

    /// Appends the next request, if one is due and none is unanswered.
    /// - Returns: whether anything was appended.
    package func speak(_ output: ByteBuffer, at now: MonotonicTime) -> Bool {
        guard unanswered == nil, !hasLeft, let request = nextRequest() else { return false }
        lastOpaque &+= 1
        let start = output.count
        write(request, output)
        guard output.count - start <= Limits.frameSizeMaximum else {
            log.error(
                "cannot register: too many topics for one frame", ["bytes": String(output.count - start)])
            output.truncate(to: start)
            return false
        }
        let deadline = now.advanced(byMilliseconds: configuration.timeoutMilliseconds)
        unanswered = (request, lastOpaque, deadline)
        return true
    }

    private func nextRequest() -> Request? {
        if isStopping { return .unregister }
        let version = broker.dataVersion()
        let wasRenewalDue = isRenewalDue
        isRenewalDue = false
        if isFullDue {
            isFullDue = false
            isVersionDue = false
            changed = [:]
            return .all(version)
        }
        if isVersionDue { return .changed(version) }
        guard wasRenewalDue else { return nil }
        // A slave learns its master's address from the answer to a registration only.
        let isQueryEnough = acknowledged == version && !configuration.isForced && broker.identity.isMaster
        return isQueryEnough ? .query(version) : .all(version)
    }

    private func write(_ request: Request, _ output: ByteBuffer) {
        switch request {
        case .all(let version):
            writeRegistration(version, broker.topics(), output)
        case .changed(let version):
            let topics = changed.values.sorted { $0.name < $1.name }
            changed = [:]
            isVersionDue = false
            writeRegistration(version, topics, output)
        case .query(let version):
            var writer = CommandWriter(output, encoding: .json)
            writer.begin(request: .queryDataVersion, opaque: lastOpaque)
            QueryDataVersionHeader(
                brokerName: broker.identity.name, brokerAddress: broker.identity.address,
                clusterName: broker.identity.cluster, brokerID: broker.identity.id
            ).write(into: &writer)
            writer.beginBody()
            version.encode(to: output)
            writer.end()
        case .unregister:
            var writer = CommandWriter(output, encoding: .json)
            writer.begin(request: .unregisterBroker, opaque: lastOpaque)
            UnregisterBrokerHeader(
                brokerName: broker.identity.name, brokerAddress: broker.identity.address,
                clusterName: broker.identity.cluster, brokerID: broker.identity.id
            ).write(into: &writer)
            writer.end()
        }
    }

    private func writeRegistration(
        _ version: DataVersion, _ topics: [TopicConfiguration], _ output: ByteBuffer
    ) {
        // The checksum stands before the body, so the body is made first.
        let body = ByteBuffer()
        let isCompressed = writeBody(version, topics, body)
        var writer = CommandWriter(output, encoding: .json)
        writer.begin(request: .registerBroker, opaque: lastOpaque)
        RegisterBrokerHeader(
            brokerName: broker.identity.name, brokerAddress: broker.identity.address,
            clusterName: broker.identity.cluster, haServerAddress: broker.haAddress, brokerID: broker.identity.id,
            isCompressed: isCompressed, bodyCRC: Int32(bitPattern: crc32(body.bytes) & 0x7FFF_FFFF)
        ).write(into: &writer)
        writer.beginBody()
        output.append(body.bytes)
        writer.end()
    }

    /// - Returns: whether the body is in the compressed layout.
    private func writeBody(_ version: DataVersion, _ topics: [TopicConfiguration], _ body: ByteBuffer) -> Bool {
        let content = RegisterBrokerBody(topics: TopicConfigSerializeWrapper(dataVersion: version, topics: topics))
        if isCompressionDue(topics) {
            do {
                try content.encodeCompressed(to: body)
                return true
            } catch {
                log.error("registration cannot be compressed", ["reason": "\(error)"])
                body.removeAll()
            }
        }
        content.encode(to: body)
        return false
    }

    private func isCompressionDue(_ topics: [TopicConfiguration]) -> Bool {
        guard !configuration.isCompressed else { return true }
        let size = Self.plainSize(topics)
        guard size > configuration.plainSizeMaximum else { return false }
        return size > configuration.flaggedSizeMaximum || topics.allSatisfy { $0.systemFlag == 0 }
    }

    /// About how many bytes of JSON the topics make: each name comes twice, among 130 bytes that are the same for all.
    private static func plainSize(_ topics: [TopicConfiguration]) -> Int {
        topics.reduce(0) { $0 + 140 + 2 * $1.name.utf8.count }
    }

    // MARK: - What is heard

    /// What one frame from the name server meant.
    package enum Heard: Equatable {
        /// There is no whole frame yet; the next one takes this many bytes in all.
        case incomplete(bytes: Int)
        /// A registration was taken; for a slave, the reply says where its master is.
        case registered(RegistrationReply)
        /// Something else that was expected, or that can be passed over.
        case other
        /// The bytes are no frame, or the name server refused: make the connection anew.
        case failed(reason: String)
    }

    /// Takes one frame from the front of `input`.
    package func hear(_ input: ByteBuffer) -> Heard {
        let frame: Frame
        do throws(FrameError) {
            guard let next = try Frame.next(in: input) else {
                return .incomplete(bytes: Frame.sizeNeeded(in: input.bytes))
            }
            frame = next
        } catch {
            return .failed(reason: error.description)
        }
        defer { input.consume(frame.size) }
        do throws(HeaderError) { try header.decode(frame, in: input) } catch {
            return .failed(reason: error.description)
        }
        // 5.x name servers may send notices of their own (905), which a broker without acting masters passes over.
        guard header.isResponse, let (request, opaque, _) = unanswered, opaque == header.opaque else { return .other }
        unanswered = nil
        return answered(request, input.bytes, body: frame.body)
    }

    private func answered(_ request: Request, _ bytes: RawSpan, body: Range<Int>) -> Heard {
        let isSuccess = header.responseCode == .success
        switch request {
        case .unregister:
            hasLeft = true
            return .other
        case .query:
            // Whatever is not a clear "unchanged" is answered with everything.
            if !isSuccess || header.bool(ifPresent: "changed", in: bytes) != false { isFullDue = true }
            return .other
        case .all(let version), .changed(let version):
            guard isSuccess else {
                let remark = header.remark.map { bytes.extracting($0).string() } ?? ""
                return .failed(reason: "registration refused with code \(header.code): \(remark)")
            }
            acknowledged = version
            return .registered(reply(bytes, body))
        }
    }

    private func reply(_ bytes: RawSpan, _ body: Range<Int>) -> RegistrationReply {
        var reply = RegistrationReply()
        reply.masterAddress = header.string(ifPresent: "masterAddr", in: bytes)
        reply.haAddress = header.string(ifPresent: "haServerAddr", in: bytes)
        if !body.isEmpty {
            do throws(BodyError) {
                reply.orderConfiguration = try KVTable(parsing: bytes.extracting(body)).table
            } catch {
                log.warning("order configuration passed over", ["reason": error.description])
            }
        }
        return reply
    }
}
