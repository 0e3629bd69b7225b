import Model
import RemotingProtocol

/// Where the accounts of access control are kept, and changed on request. Belongs to the loop, as ``RequestGuard`` does.
public protocol AccountStore: AnyObject {
    /// What is in force, secrets included: whoever answers with it leaves them out.
    var accounts: AclConfig { get }
    /// Counts the changes that were made by request.
    var accountsVersion: DataVersion { get }
    /// The file, as the settings name it.
    var accountsPath: String { get }

    /// Makes a change durable and lets it hold. Changes are made one after the other, in the order of the calls.
    /// - Parameter completion: called once, later or at once: nil when the change is on the medium and holds for every request
    ///   that is looked at from then on; else why nothing was changed.
    func change(_ change: AccountChange, _ completion: @escaping (AccountChangeFailure?) -> Void)
}

/// What requests 50, 51 and 53 ask for.
public enum AccountChange: Equatable, Sendable {
    case put(UpdateAccessConfigHeader)
    case delete(accessKey: String)
    /// Addresses that are asked nothing, joined by commas.
    case trust(String)
}

/// Why accounts were not changed: the remark of the refusal. Holds no secret.
public struct AccountChangeFailure: Error, Equatable, Sendable {
    public var remark: String
    public init(_ remark: String) { self.remark = remark }
}
