import Bytes
import NameService
import RemotingProtocol

/// The key-value configuration: 100 put, 101 get, 102 delete, 219 list.
extension NameServerSession {
    func putKVConfig(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: PutKVConfigHeader = try request.fields()
        do throws(NameServerError) {
            try server.putKVConfig(namespace: fields.namespace, key: fields.key, value: fields.value)
        } catch {
            throw .server(error)
        }
        writer.answer(request)
    }

    func getKVConfig(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: GetKVConfigHeader = try request.fields()
        guard let value = server.kvConfig(namespace: fields.namespace, key: fields.key) else {
            throw .keyUnknown(namespace: fields.namespace, key: fields.key)
        }
        writer.answer(request, GetKVConfigResponseHeader(value: value))
    }

    func deleteKVConfig(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: DeleteKVConfigHeader = try request.fields()
        do throws(NameServerError) {
            try server.deleteKVConfig(namespace: fields.namespace, key: fields.key)
        } catch {
            throw .server(error)
        }
        writer.answer(request)
    }

    func getKVList(_ request: NameServerRequest, _ writer: inout CommandWriter) throws(NameServerFailure) {
        let fields: GetKVListByNamespaceHeader = try request.fields()
        guard let values = server.kvConfig(namespace: fields.namespace) else {
            throw .namespaceUnknown(fields.namespace)
        }
        writer.answer(request, body: KVTable(table: values))
    }
}
