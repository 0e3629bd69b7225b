import Base
import Bytes
import Model
import NameService
import RemotingProtocol

/// What brokers ask: 103 `REGISTER_BROKER` every 30 s and after changes, 104 `UNREGISTER_BROKER` when they stop, 322
/// `QUERY_DATA_VERSION` to learn whether a registration is due.
extension NameServerSession {
    func registerBroker(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: RegisterBrokerHeader = try request.fields()
        try Self.checkNames(fields)
        try Self.checkBody(of: request, fields)
        let reply: RegistrationReply
        if let version = Self.leadingDataVersion(of: request, fields) {
            reply = try server.register(
                registration(fields, version, filterServers: []), failure: NameServerFailure.server
            ) { () throws(NameServerFailure) in try Self.body(of: request, fields).topics.topics
            }
        } else {
            let body = try Self.body(of: request, fields)
            reply = try server.register(
                registration(fields, body.topics.dataVersion, filterServers: body.filterServers),
                failure: NameServerFailure.server
            ) { () throws(NameServerFailure) in body.topics.topics }
        }
        answer(request, reply, &writer)
    }

    private func answer(_ request: NameServerRequest, _ reply: RegistrationReply, _ writer: inout CommandWriter) {
        writer.begin(response: .success, to: request.header)
        RegisterBrokerResponseHeader(haServerAddress: reply.haAddress, masterAddress: reply.masterAddress)
            .write(into: &writer)
        writer.beginBody()
        if let table = reply.orderConfiguration { KVTable(table: table).encode(to: writer.buffer) }
        writer.end()
    }

    private func registration(
        _ fields: RegisterBrokerHeader, _ version: DataVersion, filterServers: [String]
    ) -> BrokerRegistration {
        BrokerRegistration(
            identity: BrokerIdentity(
                cluster: fields.clusterName, name: fields.brokerName, id: fields.brokerID,
                address: fields.brokerAddress),
            haAddress: fields.haServerAddress, dataVersion: version, filterServers: filterServers, connection: token)
    }

    // MARK: - What was sent

    private static func checkNames(_ fields: RegisterBrokerHeader) throws(NameServerFailure) {
        let names = [
            ("clusterName", fields.clusterName), ("brokerName", fields.brokerName),
            ("brokerAddr", fields.brokerAddress),
        ]
        for (field, value) in names where value.isEmpty {
            throw .fields(.invalid(field: field, value: value, expected: "a name"))
        }
    }

    /// RocketMQ keeps 31 bits of the checksum, and 0 says that there is none.
    private static func checkBody(
        of request: NameServerRequest, _ fields: RegisterBrokerHeader
    ) throws(NameServerFailure) {
        guard fields.bodyCRC != 0 else { return }
        let found = crc32(request.input.bytes.extracting(request.body)) & 0x7FFF_FFFF
        guard found == UInt32(bitPattern: fields.bodyCRC) else { throw .bodyChecksum }
    }

    private static func body(
        of request: NameServerRequest, _ fields: RegisterBrokerHeader
    ) throws(NameServerFailure) -> RegisterBrokerBody {
        guard !request.body.isEmpty else {
            return RegisterBrokerBody(topics: TopicConfigSerializeWrapper(dataVersion: DataVersion(), topics: []))
        }
        do throws(BodyError) {
            return try RegisterBrokerBody(
                parsing: request.input.bytes.extracting(request.body), isCompressed: fields.isCompressed)
        } catch {
            throw .body(error.description)
        }
    }

    /// The data version of a body that begins as RocketMQ 4.9 writes it when there are no filter servers. Brokers send all their
    /// topics every 30 s, nearly always unchanged: seeing that at the beginning saves reading the rest.
    private static func leadingDataVersion(of request: NameServerRequest, _ fields: RegisterBrokerHeader)
        -> DataVersion?
    {
        let start: StaticString = #"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":"#
        let body = request.input.bytes.extracting(request.body)
        // Two numbers and, from 5.x, a third: far less than this.
        let end = min(body.byteCount, start.utf8CodeUnitCount + 256)
        guard !fields.isCompressed, body.byteCount > start.utf8CodeUnitCount,
            body.extracting(0..<start.utf8CodeUnitCount).equals(start)
        else { return nil }
        for position in start.utf8CodeUnitCount..<end where body.byte(at: position) == UInt8(ascii: "}") {
            let version = body.extracting(start.utf8CodeUnitCount..<position + 1)
            do throws(BodyError) { return try DataVersion(parsing: version) } catch { return nil }
        }
        return nil
    }

    // MARK: - Leave, and ask whether to register

    func unregisterBroker(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: UnregisterBrokerHeader = try request.fields()
        server.unregister(
            BrokerIdentity(
                cluster: fields.clusterName, name: fields.brokerName, id: fields.brokerID,
                address: fields.brokerAddress))
        writer.answer(request)
    }

    func queryDataVersion(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: QueryDataVersionHeader = try request.fields()
        let version: DataVersion
        do throws(BodyError) {
            version = try DataVersion(parsing: request.input.bytes.extracting(request.body))
        } catch {
            throw .body(error.description)
        }
        let (isChanged, known) = server.checkDataVersion(version, ofBrokerAt: fields.brokerAddress)
        writer.begin(response: .success, to: request.header)
        QueryDataVersionResponseHeader(isChanged: isChanged).write(into: &writer)
        writer.beginBody()
        known?.encode(to: writer.buffer)
        writer.end()
    }
}
