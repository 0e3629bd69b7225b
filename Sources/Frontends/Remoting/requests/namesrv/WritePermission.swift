import NameService
import RemotingProtocol

/// 205 `WIPE_WRITE_PERM_OF_BROKER` and 327 `ADD_WRITE_PERM_OF_BROKER`.
extension NameServerSession {
    func wipeWritePermission(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: WipeWritePermissionHeader = try request.fields()
        let count = server.wipeWritePermission(ofBroker: fields.brokerName)
        writer.answer(request, WipeWritePermissionResponseHeader(wipedTopicCount: Int32(clamping: count)))
    }

    func addWritePermission(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: WipeWritePermissionHeader = try request.fields()
        let count = server.addWritePermission(ofBroker: fields.brokerName)
        writer.answer(request, AddWritePermissionResponseHeader(addedTopicCount: Int32(clamping: count)))
    }
}
