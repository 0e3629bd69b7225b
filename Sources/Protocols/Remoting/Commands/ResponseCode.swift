/// The number of an answer (remoting reference §1.4).
public struct ResponseCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: Int32) { self.rawValue = rawValue }

    public var description: String { String(rawValue) }

    /// `SUCCESS`.
    @inlinable public static var success: Self { Self(0) }
    /// `SYSTEM_ERROR`.
    @inlinable public static var systemError: Self { Self(1) }
    /// `SYSTEM_BUSY`.
    @inlinable public static var systemBusy: Self { Self(2) }
    /// `REQUEST_CODE_NOT_SUPPORTED`.
    @inlinable public static var requestCodeNotSupported: Self { Self(3) }
    /// `TRANSACTION_FAILED`.
    @inlinable public static var transactionFailed: Self { Self(4) }
    /// `FLUSH_DISK_TIMEOUT`.
    @inlinable public static var flushDiskTimeout: Self { Self(10) }
    /// `SLAVE_NOT_AVAILABLE`.
    @inlinable public static var slaveNotAvailable: Self { Self(11) }
    /// `FLUSH_SLAVE_TIMEOUT`.
    @inlinable public static var flushSlaveTimeout: Self { Self(12) }
    /// `MESSAGE_ILLEGAL`.
    @inlinable public static var messageIllegal: Self { Self(13) }
    /// `SERVICE_NOT_AVAILABLE`.
    @inlinable public static var serviceNotAvailable: Self { Self(14) }
    /// `VERSION_NOT_SUPPORTED`.
    @inlinable public static var versionNotSupported: Self { Self(15) }
    /// `NO_PERMISSION`.
    @inlinable public static var noPermission: Self { Self(16) }
    /// `TOPIC_NOT_EXIST`.
    @inlinable public static var topicNotExist: Self { Self(17) }
    /// `TOPIC_EXIST_ALREADY`.
    @inlinable public static var topicExistAlready: Self { Self(18) }
    /// `PULL_NOT_FOUND`.
    @inlinable public static var pullNotFound: Self { Self(19) }
    /// `PULL_RETRY_IMMEDIATELY`.
    @inlinable public static var pullRetryImmediately: Self { Self(20) }
    /// `PULL_OFFSET_MOVED`.
    @inlinable public static var pullOffsetMoved: Self { Self(21) }
    /// `QUERY_NOT_FOUND`.
    @inlinable public static var queryNotFound: Self { Self(22) }
    /// `SUBSCRIPTION_PARSE_FAILED`.
    @inlinable public static var subscriptionParseFailed: Self { Self(23) }
    /// `SUBSCRIPTION_NOT_EXIST`.
    @inlinable public static var subscriptionNotExist: Self { Self(24) }
    /// `SUBSCRIPTION_NOT_LATEST`.
    @inlinable public static var subscriptionNotLatest: Self { Self(25) }
    /// `SUBSCRIPTION_GROUP_NOT_EXIST`.
    @inlinable public static var subscriptionGroupNotExist: Self { Self(26) }
    /// `FILTER_DATA_NOT_EXIST`.
    @inlinable public static var filterDataNotExist: Self { Self(27) }
    /// `FILTER_DATA_NOT_LATEST`.
    @inlinable public static var filterDataNotLatest: Self { Self(28) }
    /// `INVALID_PARAMETER`.
    @inlinable public static var invalidParameter: Self { Self(29) }
    /// `TRANSACTION_SHOULD_COMMIT`.
    @inlinable public static var transactionShouldCommit: Self { Self(200) }
    /// `TRANSACTION_SHOULD_ROLLBACK`.
    @inlinable public static var transactionShouldRollback: Self { Self(201) }
    /// `TRANSACTION_STATE_UNKNOW`.
    @inlinable public static var transactionStateUnknown: Self { Self(202) }
    /// `TRANSACTION_STATE_GROUP_WRONG`.
    @inlinable public static var transactionStateGroupWrong: Self { Self(203) }
    /// `NO_BUYER_ID`.
    @inlinable public static var noBuyerID: Self { Self(204) }
    /// `NOT_IN_CURRENT_UNIT`.
    @inlinable public static var notInCurrentUnit: Self { Self(205) }
    /// `CONSUMER_NOT_ONLINE`.
    @inlinable public static var consumerNotOnline: Self { Self(206) }
    /// `CONSUME_MSG_TIMEOUT`.
    @inlinable public static var consumeMessageTimeout: Self { Self(207) }
    /// `NO_MESSAGE`.
    @inlinable public static var noMessage: Self { Self(208) }
    /// `FLOW_CONTROL`.
    @inlinable public static var flowControl: Self { Self(215) }
    /// `BROKER_DISPATCH_NOT_COMPLETE`.
    @inlinable public static var brokerDispatchNotComplete: Self { Self(212) }
    /// `BROADCAST_CONSUMPTION`.
    @inlinable public static var broadcastConsumption: Self { Self(213) }
    /// `NOT_LEADER_FOR_QUEUE`.
    @inlinable public static var notLeaderForQueue: Self { Self(501) }
    /// `ILLEGAL_OPERATION`.
    @inlinable public static var illegalOperation: Self { Self(604) }
    /// `GO_AWAY`.
    @inlinable public static var goAway: Self { Self(1500) }

    // MARK: - Numbers whose meaning 5.x changed

    /// `UPDATE_AND_CREATE_ACL_CONFIG_FAILED` in 4.9.
    @inlinable public static var updateACLConfigFailed: Self { Self(209) }
    /// `DELETE_ACL_CONFIG_FAILED` in 4.9.
    @inlinable public static var deleteACLConfigFailed: Self { Self(210) }
    /// `UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED` in 4.9.
    @inlinable public static var updateGlobalWhiteAddressesConfigFailed: Self { Self(211) }
    /// `POLLING_FULL` in 5.x.
    @inlinable public static var pollingFull: Self { Self(209) }
    /// `POLLING_TIMEOUT` in 5.x.
    @inlinable public static var pollingTimeout: Self { Self(210) }
    /// `BROKER_NOT_EXIST` in 5.x.
    @inlinable public static var brokerNotExist: Self { Self(211) }
}
