import Bytes
import Model

/// 50 `UPDATE_AND_CREATE_ACL_CONFIG`. What is nil stays as it is.
public struct UpdateAccessConfigHeader: CommandFields, Equatable {
    public var accessKey: String
    public var secretKey: String?
    public var whiteRemoteAddress: String?
    /// RocketMQ's tools always say it.
    public var isAdministrator: Bool?
    public var defaultTopicPermission: String?
    public var defaultGroupPermission: String?
    /// Rows `name=permission`, joined by commas.
    public var topicPermissions: String?
    public var groupPermissions: String?

    public init(
        accessKey: String, secretKey: String? = nil, whiteRemoteAddress: String? = nil, isAdministrator: Bool? = nil,
        defaultTopicPermission: String? = nil, defaultGroupPermission: String? = nil, topicPermissions: String? = nil,
        groupPermissions: String? = nil
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

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        accessKey = try header.string("accessKey", in: span)
        secretKey = header.string(ifPresent: "secretKey", in: span)
        whiteRemoteAddress = header.string(ifPresent: "whiteRemoteAddress", in: span)
        isAdministrator = header.bool(ifPresent: "admin", in: span)
        defaultTopicPermission = header.string(ifPresent: "defaultTopicPerm", in: span)
        defaultGroupPermission = header.string(ifPresent: "defaultGroupPerm", in: span)
        topicPermissions = header.string(ifPresent: "topicPerms", in: span)
        groupPermissions = header.string(ifPresent: "groupPerms", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("accessKey", accessKey)
        writer.field("secretKey", secretKey)
        writer.field("whiteRemoteAddress", whiteRemoteAddress)
        if let isAdministrator { writer.field("admin", isAdministrator) }
        writer.field("defaultTopicPerm", defaultTopicPermission)
        writer.field("defaultGroupPerm", defaultGroupPermission)
        writer.field("topicPerms", topicPermissions)
        writer.field("groupPerms", groupPermissions)
    }
}

/// 51 `DELETE_ACL_CONFIG`.
public struct DeleteAccessConfigHeader: CommandFields, Equatable {
    public var accessKey: String

    public init(accessKey: String) { self.accessKey = accessKey }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        accessKey = try header.string("accessKey", in: span)
    }

    public func write(into writer: inout CommandWriter) { writer.field("accessKey", accessKey) }
}

/// 53 `UPDATE_GLOBAL_WHITE_ADDRS_CONFIG`.
public struct UpdateGlobalWhiteAddressesHeader: CommandFields, Equatable {
    /// Patterns, joined by commas.
    public var globalWhiteAddresses: String
    /// The file to change, from 4.9.2 on; nil or empty is the broker's own.
    public var aclFilePath: String?

    public init(globalWhiteAddresses: String, aclFilePath: String? = nil) {
        self.globalWhiteAddresses = globalWhiteAddresses
        self.aclFilePath = aclFilePath
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        globalWhiteAddresses = try header.string("globalWhiteAddrs", in: span)
        aclFilePath = header.string(ifPresent: "aclFileFullPath", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("globalWhiteAddrs", globalWhiteAddresses)
        writer.field("aclFileFullPath", aclFilePath)
    }
}

/// The answer to 52 `GET_BROKER_CLUSTER_ACL_INFO`: which state of which file is in force.
public struct AclConfigVersionHeader: CommandFields, Equatable {
    /// A ``DataVersion`` in JSON.
    public var version: String
    /// A map in JSON, from paths of files to their versions; from 4.9.2 on.
    public var allFileVersions: String?
    public var brokerName: String
    public var brokerAddress: String
    public var clusterName: String

    public init(
        version: String, allFileVersions: String?, brokerName: String, brokerAddress: String, clusterName: String
    ) {
        self.version = version
        self.allFileVersions = allFileVersions
        self.brokerName = brokerName
        self.brokerAddress = brokerAddress
        self.clusterName = clusterName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        version = try header.string("version", in: span)
        allFileVersions = header.string(ifPresent: "allAclFileVersion", in: span)
        brokerName = try header.string("brokerName", in: span)
        brokerAddress = try header.string("brokerAddr", in: span)
        clusterName = try header.string("clusterName", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("version", version)
        writer.field("allAclFileVersion", allFileVersions)
        writer.field("brokerName", brokerName)
        writer.field("brokerAddr", brokerAddress)
        writer.field("clusterName", clusterName)
    }
}
