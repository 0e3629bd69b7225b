import Bytes

/// An account of access control in RocketMQ's words (`PlainAccessConfig`), as tools write and read it. Nothing is checked here.
public struct PlainAccessConfig: CommandBody, Equatable, CustomStringConvertible {
    public var accessKey: String
    /// Nil where it is not told.
    public var secretKey: String?
    public var whiteRemoteAddress: String?
    public var isAdministrator: Bool
    /// `DENY`, `PUB`, `SUB`, `PUB|SUB`.
    public var defaultTopicPermission: String?
    public var defaultGroupPermission: String?
    /// Rows `name=permission`.
    public var topicPermissions: [String]
    public var groupPermissions: [String]

    public init(
        accessKey: String, secretKey: String? = nil, whiteRemoteAddress: String? = nil, isAdministrator: Bool = false,
        defaultTopicPermission: String? = nil, defaultGroupPermission: String? = nil, topicPermissions: [String] = [],
        groupPermissions: [String] = []
    ) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.whiteRemoteAddress = whiteRemoteAddress
        self.isAdministrator = isAdministrator
        self.defaultTopicPermission = defaultTopicPermission
        self.defaultGroupPermission = defaultGroupPermission
        self.topicPermissions = topicPermissions
        self.groupPermissions = groupPermissions
    }

    public init(json: JSONValue) throws(BodyError) {
        accessKey = try json.text("accessKey")
        secretKey = try json.text(ifPresent: "secretKey")
        whiteRemoteAddress = try json.text(ifPresent: "whiteRemoteAddress")
        isAdministrator = try json.bool("admin", default: false)
        defaultTopicPermission = try json.text(ifPresent: "defaultTopicPerm")
        defaultGroupPermission = try json.text(ifPresent: "defaultGroupPerm")
        topicPermissions = try json.texts("topicPerms")
        groupPermissions = try json.texts("groupPerms")
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("accessKey", accessKey)
            json.field("admin", isAdministrator)
            json.field("defaultGroupPerm", defaultGroupPermission)
            json.field("defaultTopicPerm", defaultTopicPermission)
            json.field("groupPerms", groupPermissions)
            json.field("secretKey", secretKey)
            json.field("topicPerms", topicPermissions)
            json.field("whiteRemoteAddress", whiteRemoteAddress)
        }
    }

    /// Without the secret.
    public var description: String { "account \(accessKey)" }
}

/// Accounts and trusted addresses of a broker: the answer to 54 `GET_BROKER_CLUSTER_ACL_CONFIG`.
public struct AclConfig: CommandBody, Equatable {
    public var globalWhiteAddresses: [String]
    public var accounts: [PlainAccessConfig]

    public init(globalWhiteAddresses: [String] = [], accounts: [PlainAccessConfig] = []) {
        self.globalWhiteAddresses = globalWhiteAddresses
        self.accounts = accounts
    }

    public init(json: JSONValue) throws(BodyError) {
        globalWhiteAddresses = try json.texts("globalWhiteAddrs")
        accounts = try json.list("plainAccessConfigs") { (value) throws(BodyError) in
            try PlainAccessConfig(json: value)
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("globalWhiteAddrs", globalWhiteAddresses)
            json.field("plainAccessConfigs", accounts)
        }
    }
}
