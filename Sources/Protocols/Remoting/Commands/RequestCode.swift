/// The number of a request (remoting reference §1.5). A number without a name here is still a valid value: the answer
/// to it is ``ResponseCode/requestCodeNotSupported``.
public struct RequestCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: Int32) { self.rawValue = rawValue }

    public var description: String { String(rawValue) }

    /// The code whose low 16 bits a binary header carries. The codes above 32767, all of them of POP, come cut off;
    /// what remains of them collides with no other code (remoting reference §1.2).
    public init(truncated code: Int16) {
        switch code {
        case 3442...3448, 3543: rawValue = 0x3_0000 | Int32(code)
        default: rawValue = Int32(code)
        }
    }

    // MARK: - To a broker

    /// `SEND_MESSAGE`.
    @inlinable public static var sendMessage: Self { Self(10) }
    /// `PULL_MESSAGE`.
    @inlinable public static var pullMessage: Self { Self(11) }
    /// `QUERY_MESSAGE`.
    @inlinable public static var queryMessage: Self { Self(12) }
    /// `QUERY_CONSUMER_OFFSET`.
    @inlinable public static var queryConsumerOffset: Self { Self(14) }
    /// `UPDATE_CONSUMER_OFFSET`.
    @inlinable public static var updateConsumerOffset: Self { Self(15) }
    /// `UPDATE_AND_CREATE_TOPIC`.
    @inlinable public static var updateAndCreateTopic: Self { Self(17) }
    /// `UPDATE_AND_CREATE_TOPIC_LIST` (5.x).
    @inlinable public static var updateAndCreateTopicList: Self { Self(18) }
    /// `GET_ALL_TOPIC_CONFIG`.
    @inlinable public static var getAllTopicConfig: Self { Self(21) }
    /// `UPDATE_BROKER_CONFIG`.
    @inlinable public static var updateBrokerConfig: Self { Self(25) }
    /// `GET_BROKER_CONFIG`.
    @inlinable public static var getBrokerConfig: Self { Self(26) }
    /// `GET_BROKER_RUNTIME_INFO`.
    @inlinable public static var getBrokerRuntimeInfo: Self { Self(28) }
    /// `SEARCH_OFFSET_BY_TIMESTAMP`.
    @inlinable public static var searchOffsetByTimestamp: Self { Self(29) }
    /// `GET_MAX_OFFSET`.
    @inlinable public static var getMaximumOffset: Self { Self(30) }
    /// `GET_MIN_OFFSET`.
    @inlinable public static var getMinimumOffset: Self { Self(31) }
    /// `GET_EARLIEST_MSG_STORETIME`.
    @inlinable public static var getEarliestMessageStoreTime: Self { Self(32) }
    /// `VIEW_MESSAGE_BY_ID`.
    @inlinable public static var viewMessageByID: Self { Self(33) }
    /// `HEART_BEAT`.
    @inlinable public static var heartbeat: Self { Self(34) }
    /// `UNREGISTER_CLIENT`.
    @inlinable public static var unregisterClient: Self { Self(35) }
    /// `CONSUMER_SEND_MSG_BACK`.
    @inlinable public static var consumerSendMessageBack: Self { Self(36) }
    /// `END_TRANSACTION`.
    @inlinable public static var endTransaction: Self { Self(37) }
    /// `GET_CONSUMER_LIST_BY_GROUP`.
    @inlinable public static var getConsumerListByGroup: Self { Self(38) }
    /// `LOCK_BATCH_MQ`.
    @inlinable public static var lockBatch: Self { Self(41) }
    /// `UNLOCK_BATCH_MQ`.
    @inlinable public static var unlockBatch: Self { Self(42) }
    /// `GET_ALL_CONSUMER_OFFSET`.
    @inlinable public static var getAllConsumerOffset: Self { Self(43) }
    /// `GET_ALL_DELAY_OFFSET`.
    @inlinable public static var getAllDelayOffset: Self { Self(45) }
    /// `CHECK_CLIENT_CONFIG`.
    @inlinable public static var checkClientConfig: Self { Self(46) }
    /// `UPDATE_AND_CREATE_ACL_CONFIG`.
    @inlinable public static var updateAndCreateACLConfig: Self { Self(50) }
    /// `DELETE_ACL_CONFIG`.
    @inlinable public static var deleteACLConfig: Self { Self(51) }
    /// `GET_BROKER_CLUSTER_ACL_INFO`.
    @inlinable public static var getBrokerClusterACLInfo: Self { Self(52) }
    /// `UPDATE_GLOBAL_WHITE_ADDRS_CONFIG`.
    @inlinable public static var updateGlobalWhiteAddressesConfig: Self { Self(53) }
    /// `GET_BROKER_CLUSTER_ACL_CONFIG`; up to 4.9.7.
    @inlinable public static var getBrokerClusterACLConfig: Self { Self(54) }
    /// `GET_TIMER_CHECK_POINT` (5.x).
    @inlinable public static var getTimerCheckPoint: Self { Self(60) }
    /// `GET_TIMER_METRICS` (5.x).
    @inlinable public static var getTimerMetrics: Self { Self(61) }
    /// `UPDATE_AND_CREATE_SUBSCRIPTIONGROUP`.
    @inlinable public static var updateAndCreateSubscriptionGroup: Self { Self(200) }
    /// `GET_ALL_SUBSCRIPTIONGROUP_CONFIG`.
    @inlinable public static var getAllSubscriptionGroupConfig: Self { Self(201) }
    /// `GET_TOPIC_STATS_INFO`.
    @inlinable public static var getTopicStatsInfo: Self { Self(202) }
    /// `GET_CONSUMER_CONNECTION_LIST`.
    @inlinable public static var getConsumerConnectionList: Self { Self(203) }
    /// `GET_PRODUCER_CONNECTION_LIST`.
    @inlinable public static var getProducerConnectionList: Self { Self(204) }
    /// `DELETE_SUBSCRIPTIONGROUP`.
    @inlinable public static var deleteSubscriptionGroup: Self { Self(207) }
    /// `GET_CONSUME_STATS`.
    @inlinable public static var getConsumeStats: Self { Self(208) }
    /// `DELETE_TOPIC_IN_BROKER`.
    @inlinable public static var deleteTopicInBroker: Self { Self(215) }
    /// `INVOKE_BROKER_TO_RESET_OFFSET`.
    @inlinable public static var invokeBrokerToResetOffset: Self { Self(222) }
    /// `INVOKE_BROKER_TO_GET_CONSUMER_STATUS`.
    @inlinable public static var invokeBrokerToGetConsumerStatus: Self { Self(223) }
    /// `UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST` (5.x).
    @inlinable public static var updateAndCreateSubscriptionGroupList: Self { Self(225) }
    /// `QUERY_TOPIC_CONSUME_BY_WHO`.
    @inlinable public static var queryTopicConsumeByWho: Self { Self(300) }
    /// `REGISTER_FILTER_SERVER`.
    @inlinable public static var registerFilterServer: Self { Self(301) }
    /// `QUERY_CONSUME_TIME_SPAN`.
    @inlinable public static var queryConsumeTimeSpan: Self { Self(303) }
    /// `GET_SYSTEM_TOPIC_LIST_FROM_BROKER`.
    @inlinable public static var getSystemTopicListFromBroker: Self { Self(305) }
    /// `CLEAN_EXPIRED_CONSUMEQUEUE`.
    @inlinable public static var cleanExpiredConsumeQueue: Self { Self(306) }
    /// `GET_CONSUMER_RUNNING_INFO`.
    @inlinable public static var getConsumerRunningInfo: Self { Self(307) }
    /// `QUERY_CORRECTION_OFFSET`.
    @inlinable public static var queryCorrectionOffset: Self { Self(308) }
    /// `CONSUME_MESSAGE_DIRECTLY`.
    @inlinable public static var consumeMessageDirectly: Self { Self(309) }
    /// `SEND_MESSAGE_V2`.
    @inlinable public static var sendMessageV2: Self { Self(310) }
    /// `CLONE_GROUP_OFFSET`.
    @inlinable public static var cloneGroupOffset: Self { Self(314) }
    /// `VIEW_BROKER_STATS_DATA`.
    @inlinable public static var viewBrokerStatsData: Self { Self(315) }
    /// `CLEAN_UNUSED_TOPIC`.
    @inlinable public static var cleanUnusedTopic: Self { Self(316) }
    /// `GET_BROKER_CONSUME_STATS`.
    @inlinable public static var getBrokerConsumeStats: Self { Self(317) }
    /// `SEND_BATCH_MESSAGE`.
    @inlinable public static var sendBatchMessage: Self { Self(320) }
    /// `QUERY_CONSUME_QUEUE`.
    @inlinable public static var queryConsumeQueue: Self { Self(321) }
    /// `RESUME_CHECK_HALF_MESSAGE`.
    @inlinable public static var resumeCheckHalfMessage: Self { Self(323) }
    /// `SEND_REPLY_MESSAGE`.
    @inlinable public static var sendReplyMessage: Self { Self(324) }
    /// `SEND_REPLY_MESSAGE_V2`.
    @inlinable public static var sendReplyMessageV2: Self { Self(325) }
    /// `GET_ALL_PRODUCER_INFO`.
    @inlinable public static var getAllProducerInfo: Self { Self(328) }
    /// `DELETE_EXPIRED_COMMITLOG`.
    @inlinable public static var deleteExpiredCommitLog: Self { Self(329) }
    /// `QUERY_TOPICS_BY_CONSUMER` (5.x).
    @inlinable public static var queryTopicsByConsumer: Self { Self(343) }
    /// `QUERY_SUBSCRIPTION_BY_CONSUMER` (5.x).
    @inlinable public static var querySubscriptionByConsumer: Self { Self(345) }
    /// `GET_TOPIC_CONFIG` (5.x).
    @inlinable public static var getTopicConfig: Self { Self(351) }
    /// `GET_SUBSCRIPTIONGROUP_CONFIG` (5.x).
    @inlinable public static var getSubscriptionGroupConfig: Self { Self(352) }
    /// `UPDATE_AND_GET_GROUP_FORBIDDEN` (5.x).
    @inlinable public static var updateAndGetGroupForbidden: Self { Self(353) }
    /// `CHECK_ROCKSDB_CQ_WRITE_PROGRESS` (5.x).
    @inlinable public static var checkRocksDBCQWriteProgress: Self { Self(354) }
    /// `EXPORT_ROCKSDB_CONFIG_TO_JSON` (5.x).
    @inlinable public static var exportRocksDBConfigToJSON: Self { Self(355) }
    /// `LITE_PULL_MESSAGE` (5.x).
    @inlinable public static var litePullMessage: Self { Self(361) }
    /// `RECALL_MESSAGE` (5.x).
    @inlinable public static var recallMessage: Self { Self(370) }
    /// `QUERY_ASSIGNMENT` (5.x).
    @inlinable public static var queryAssignment: Self { Self(400) }
    /// `SET_MESSAGE_REQUEST_MODE` (5.x).
    @inlinable public static var setMessageRequestMode: Self { Self(401) }
    /// `GET_ALL_MESSAGE_REQUEST_MODE` (5.x).
    @inlinable public static var getAllMessageRequestMode: Self { Self(402) }
    /// `UPDATE_AND_CREATE_STATIC_TOPIC` (5.x).
    @inlinable public static var updateAndCreateStaticTopic: Self { Self(513) }
    /// `GET_BROKER_HA_STATUS` (5.x).
    @inlinable public static var getBrokerHAStatus: Self { Self(907) }
    /// `RESET_MASTER_FLUSH_OFFSET` (5.x).
    @inlinable public static var resetMasterFlushOffset: Self { Self(908) }
    /// `GET_BROKER_EPOCH_CACHE` (5.x).
    @inlinable public static var getBrokerEpochCache: Self { Self(1007) }
    /// `UPDATE_COLD_DATA_FLOW_CTR_CONFIG` (5.x).
    @inlinable public static var updateColdDataFlowControlConfig: Self { Self(2001) }
    /// `REMOVE_COLD_DATA_FLOW_CTR_CONFIG` (5.x).
    @inlinable public static var removeColdDataFlowControlConfig: Self { Self(2002) }
    /// `GET_COLD_DATA_FLOW_CTR_INFO` (5.x).
    @inlinable public static var getColdDataFlowControlInfo: Self { Self(2003) }
    /// `SET_COMMITLOG_READ_MODE` (5.x).
    @inlinable public static var setCommitLogReadMode: Self { Self(2004) }
    /// `POP_MESSAGE` (5.x).
    @inlinable public static var popMessage: Self { Self(200050) }
    /// `ACK_MESSAGE` (5.x).
    @inlinable public static var ackMessage: Self { Self(200051) }
    /// `BATCH_ACK_MESSAGE` (5.x).
    @inlinable public static var batchAckMessage: Self { Self(200151) }
    /// `PEEK_MESSAGE` (5.x).
    @inlinable public static var peekMessage: Self { Self(200052) }
    /// `CHANGE_MESSAGE_INVISIBLETIME` (5.x).
    @inlinable public static var changeMessageInvisibleTime: Self { Self(200053) }
    /// `NOTIFICATION` (5.x).
    @inlinable public static var notification: Self { Self(200054) }
    /// `POLLING_INFO` (5.x).
    @inlinable public static var pollingInfo: Self { Self(200055) }
    /// `POP_ROLLBACK` (5.x).
    @inlinable public static var popRollback: Self { Self(200056) }

    // MARK: - To a name server

    /// `PUT_KV_CONFIG`.
    @inlinable public static var putKVConfig: Self { Self(100) }
    /// `GET_KV_CONFIG`.
    @inlinable public static var getKVConfig: Self { Self(101) }
    /// `DELETE_KV_CONFIG`.
    @inlinable public static var deleteKVConfig: Self { Self(102) }
    /// `REGISTER_BROKER`.
    @inlinable public static var registerBroker: Self { Self(103) }
    /// `UNREGISTER_BROKER`.
    @inlinable public static var unregisterBroker: Self { Self(104) }
    /// `GET_ROUTEINFO_BY_TOPIC`.
    @inlinable public static var getRouteInfoByTopic: Self { Self(105) }
    /// `GET_BROKER_CLUSTER_INFO`.
    @inlinable public static var getBrokerClusterInfo: Self { Self(106) }
    /// `WIPE_WRITE_PERM_OF_BROKER`.
    @inlinable public static var wipeWritePermOfBroker: Self { Self(205) }
    /// `GET_ALL_TOPIC_LIST_FROM_NAMESERVER`.
    @inlinable public static var getAllTopicListFromNameServer: Self { Self(206) }
    /// `DELETE_TOPIC_IN_NAMESRV`.
    @inlinable public static var deleteTopicInNameServer: Self { Self(216) }
    /// `REGISTER_TOPIC_IN_NAMESRV` (5.x).
    @inlinable public static var registerTopicInNameServer: Self { Self(217) }
    /// `GET_KVLIST_BY_NAMESPACE`.
    @inlinable public static var getKVListByNamespace: Self { Self(219) }
    /// `GET_TOPICS_BY_CLUSTER`.
    @inlinable public static var getTopicsByCluster: Self { Self(224) }
    /// `GET_SYSTEM_TOPIC_LIST_FROM_NS`.
    @inlinable public static var getSystemTopicListFromNameServer: Self { Self(304) }
    /// `GET_UNIT_TOPIC_LIST`.
    @inlinable public static var getUnitTopicList: Self { Self(311) }
    /// `GET_HAS_UNIT_SUB_TOPIC_LIST`.
    @inlinable public static var getHasUnitSubTopicList: Self { Self(312) }
    /// `GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST`.
    @inlinable public static var getHasUnitSubUnunitTopicList: Self { Self(313) }
    /// `UPDATE_NAMESRV_CONFIG`.
    @inlinable public static var updateNameServerConfig: Self { Self(318) }
    /// `GET_NAMESRV_CONFIG`.
    @inlinable public static var getNameServerConfig: Self { Self(319) }
    /// `QUERY_DATA_VERSION`.
    @inlinable public static var queryDataVersion: Self { Self(322) }
    /// `ADD_WRITE_PERM_OF_BROKER`.
    @inlinable public static var addWritePermOfBroker: Self { Self(327) }
    /// `GET_BROKER_MEMBER_GROUP` (5.x).
    @inlinable public static var getBrokerMemberGroup: Self { Self(901) }

    // MARK: - To a client

    /// `CHECK_TRANSACTION_STATE`.
    @inlinable public static var checkTransactionState: Self { Self(39) }
    /// `NOTIFY_CONSUMER_IDS_CHANGED`.
    @inlinable public static var notifyConsumerIdsChanged: Self { Self(40) }
    /// `RESET_CONSUMER_CLIENT_OFFSET`.
    @inlinable public static var resetConsumerClientOffset: Self { Self(220) }
    /// `GET_CONSUMER_STATUS_FROM_CLIENT`.
    @inlinable public static var getConsumerStatusFromClient: Self { Self(221) }
    /// `PUSH_REPLY_MESSAGE_TO_CLIENT`.
    @inlinable public static var pushReplyMessageToClient: Self { Self(326) }
}
