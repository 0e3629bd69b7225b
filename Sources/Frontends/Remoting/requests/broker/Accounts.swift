import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// 50 to 54: the accounts of access control (RocketMQ 4.9's `AdminBrokerProcessor` and `PlainPermissionManager`). Codes and
/// words of refusals are RocketMQ's where it has them; it does not answer at all where these need a reason that it has not got.
///
///     request  does                                refused with
///     50       makes or changes an account         209
///     51       deletes one                         210
///     53       sets the addresses that are trusted 211
///     52       tells the version of the file       1
///     54       tells accounts, without secrets     1
extension BrokerSession {
    private static let accessControlIsOff = "access control is off: aclEnable=false"

    /// 50 `UPDATE_AND_CREATE_ACL_CONFIG`.
    func putAccount(_ request: BrokerRequest) throws(Refusal) {
        let fields: UpdateAccessConfigHeader = try fields(request)
        let refusal = ResponseCode.updateACLConfigFailed
        change(request, try accountStore(refusal), .put(fields), refusal, "account put", fields.accessKey)
    }

    /// 51 `DELETE_ACL_CONFIG`.
    func deleteAccount(_ request: BrokerRequest) throws(Refusal) {
        let key = (try fields(request) as DeleteAccessConfigHeader).accessKey
        let refusal = ResponseCode.deleteACLConfigFailed
        change(request, try accountStore(refusal), .delete(accessKey: key), refusal, "account deleted", key)
    }

    /// 53 `UPDATE_GLOBAL_WHITE_ADDRS_CONFIG`.
    func setTrustedAddresses(_ request: BrokerRequest) throws(Refusal) {
        let fields: UpdateGlobalWhiteAddressesHeader = try fields(request)
        let refusal = ResponseCode.updateGlobalWhiteAddressesConfigFailed
        let store = try accountStore(refusal)
        let addresses = fields.globalWhiteAddresses
        // There is one file here. RocketMQ takes the path of any below its home, and says no more than this about others.
        if let path = fields.aclFilePath, !path.isEmpty, path != store.accountsPath {
            throw Refusal(refusal, "The globalWhiteAddresses[\(addresses)] has been updated failed.")
        }
        change(request, store, .trust(addresses), refusal, "trusted addresses set", addresses)
    }

    /// 52 `GET_BROKER_CLUSTER_ACL_INFO`.
    func getAccountsVersion(_ request: BrokerRequest) throws(Refusal) {
        let store = try accountStore(.systemError)
        let files = ByteBuffer()
        var json = JSONWriter(files)
        json.object { json in
            json.key(text: store.accountsPath)
            store.accountsVersion.write(to: &json)
        }
        let fields = AclConfigVersionHeader(
            version: String(decoding: store.accountsVersion.encoded(), as: UTF8.self),
            allFileVersions: files.bytes.string(), brokerName: broker.configuration.name,
            brokerAddress: "\(broker.configuration.address)", clusterName: broker.configuration.cluster)
        answer(request) { fields.write(into: &$0) }
    }

    /// 54 `GET_BROKER_CLUSTER_ACL_CONFIG`. RocketMQ told secrets too, until 4.9.8 and 5.2 took the request away for that; no
    /// client needs them.
    func getAccounts(_ request: BrokerRequest) throws(Refusal) {
        var accounts = try accountStore(.systemError).accounts
        for index in accounts.accounts.indices { accounts.accounts[index].secretKey = nil }
        answer(request, body: accounts)
    }

    // MARK: - Changes

    private func accountStore(_ code: ResponseCode) throws(Refusal) -> any AccountStore {
        guard let store = frontend.requestGuard.accountStore else { throw Refusal(code, Self.accessControlIsOff) }
        return store
    }

    /// Answers when the change is on the medium and in force, or with `code` and why it is not.
    private func change(
        _ request: BrokerRequest, _ store: any AccountStore, _ change: AccountChange, _ code: ResponseCode,
        _ event: String, _ subject: String
    ) {
        let input = request.input
        let note = frontend.requestGuard.accountChangeNote(
            event, subject, header.string(ifPresent: "AccessKey", in: input.bytes) ?? "", peer)
        let requester =
            header.isOneway ? nil : WaitingRequester(session: self, opaque: header.opaque, encoding: header.encoding)
        store.change(change) { failure in
            note(failure)
            if let failure {
                requester?.session?.frontend.countRefusal(code.rawValue)
                requester?.refuse(Refusal(code, failure.remark))
            } else {
                requester?.succeed()
            }
        }
    }
}

extension WaitingRequester {
    /// Answers that it is done.
    fileprivate func succeed() {
        session?.write(encoding) { writer in
            writer.begin(response: .success, opaque: opaque)
            writer.end()
        }
    }
}
