/// Keys of RocketMQ that have nothing to act on here, by reason. They are accepted with any value, so that a file written for
/// RocketMQ works as it is; start-up names them in one line of the log.
extension Setting {
    static let ignored: [Setting] = ignoredByReason.flatMap { reason, keys in
        keys.split(whereSeparator: \.isWhitespace).map {
            Setting(String($0), .text, "", in: .any, ignored: reason, "No effect: \(reason).")
        }
    }

    private static let ignoredByReason: [(reason: String, keys: String)] = [
        (
            "one thread runs a broker, so there are no pools and no queues between threads",
            """
            sendMessageThreadPoolNums putMessageFutureThreadPoolNums pullMessageThreadPoolNums
            litePullMessageThreadPoolNums ackMessageThreadPoolNums processReplyMessageThreadPoolNums
            queryMessageThreadPoolNums adminBrokerThreadPoolNums clientManageThreadPoolNums
            consumerManageThreadPoolNums loadBalanceProcessorThreadPoolNums heartbeatThreadPoolNums
            recoverThreadPoolNums endTransactionThreadPoolNums defaultThreadPoolNums clientRequestThreadPoolNums
            sendThreadPoolQueueCapacity putThreadPoolQueueCapacity pullThreadPoolQueueCapacity
            litePullThreadPoolQueueCapacity ackThreadPoolQueueCapacity replyThreadPoolQueueCapacity
            queryThreadPoolQueueCapacity clientManagerThreadPoolQueueCapacity consumerManagerThreadPoolQueueCapacity
            heartbeatThreadPoolQueueCapacity endTransactionPoolQueueCapacity adminBrokerThreadPoolQueueCapacity
            loadBalanceThreadPoolQueueCapacity defaultThreadPoolQueueCapacity clientRequestThreadPoolQueueCapacity
            unRegisterBrokerQueueCapacity useReentrantLockWhenPutMessage brokerFastFailureEnable
            waitTimeMillsInSendQueue waitTimeMillsInPullQueue waitTimeMillsInLitePullQueue
            waitTimeMillsInHeartbeatQueue waitTimeMillsInTransactionQueue waitTimeMillsInAckQueue
            waitTimeMillsInAdminBrokerQueue osPageCacheBusyTimeOutMills asyncSendEnable maxAsyncPutMessageRequests
            startAcceptSendRequestTimeStamp
            """
        ),
        (
            "sockets are tuned by the kernel, not by Netty",
            """
            serverWorkerThreads serverCallbackExecutorThreads serverSelectorThreads serverOnewaySemaphoreValue
            serverAsyncSemaphoreValue serverSocketSndBufSize serverSocketRcvBufSize serverSocketBacklog
            writeBufferHighWaterMark writeBufferLowWaterMark serverPooledByteBufAllocatorEnable
            useEpollNativeSelector enableShutdownGracefully shutdownWaitTimeSeconds clientWorkerThreads
            clientCallbackExecutorThreads clientOnewaySemaphoreValue clientAsyncSemaphoreValue connectTimeoutMillis
            channelNotActiveInterval clientChannelMaxIdleTimeSeconds clientSocketSndBufSize clientSocketRcvBufSize
            clientPooledByteBufAllocatorEnable clientCloseSocketIfTimeout transferMsgByHeap
            """
        ),
        (
            "segments are written with pwritev and never mapped",
            """
            transientStorePoolEnable transientStorePoolSize fastFailIfNoBufferInStorePool commitIntervalCommitLog
            commitCommitLogLeastPages commitCommitLogThoroughInterval warmMapedFileEnable warmMappedFileEnable
            flushLeastPagesWhenWarmMapedFile mappedFileSwapEnable mappedFileSwapInterval
            commitLogForceSwapMapInterval commitLogSwapMapInterval logicQueueForceSwapMapInterval
            logicQueueSwapMapInterval cleanSwapedMapInterval commitLogSwapMapReserveFileNum
            logicQueueSwapMapReserveFileNum destroyMapedFileIntervalForcibly redeleteHangedFileInterval
            """
        ),
        (
            "a flush covers all that is written, by time alone",
            """
            flushCommitLogTimed flushCommitLogLeastPages flushCommitLogThoroughInterval wakeFlushWhenPutMessage
            wakeCommitWhenPutMessage
            """
        ),
        (
            "consume queues and offsets are views of the log, rebuilt from it after a crash",
            """
            flushIntervalConsumeQueue flushConsumeQueueLeastPages flushConsumeQueueThoroughInterval
            deleteConsumeQueueFilesInterval flushConsumerOffsetInterval flushConsumerOffsetHistoryInterval
            flushDelayOffsetInterval putMsgIndexHightWater messageIndexSafe duplicationEnable
            consumerOffsetUpdateVersionStep checkCRCOnRecover diskFallRecorded maxMsgsNumBatch debugLockEnable
            """
        ),
        (
            "the folder follows from storePathRootDir, as it does in RocketMQ 4.9",
            "storePathConsumeQueue storePathIndex storeCheckpoint abortFile rocketmqHome storePathEpochFile"
        ),
        (
            "there are no replicas yet",
            """
            brokerIP2 haListenPort haMasterAddress haSendHeartbeatInterval haHousekeepingInterval haTransferBatchSize
            haSlaveFallbehindMax haMaxGapNotInSync slaveTimeout slaveReadEnable offsetCheckInSlave enableDLegerCommitLog
            dLegerGroup dLegerPeers dLegerSelfId preferredLeader isEnableBatchPush enableBatchPush
            enableControllerMode controllerAddr totalReplicas inSyncReplicas minInSyncReplicas allAckInSyncStateSet
            enableSlaveActingMaster enableRemoteEscape enableControllerInNamesrv supportActingMaster
            brokerHeartbeatInterval brokerNotActiveTimeoutMillis sendHeartbeatTimeoutMillis
            """
        ),
        (
            "delayed messages wait on one wheel without limits, whether they have a level or a time",
            """
            maxDelayTime timerWheelEnable timerMaxDelaySec timerPrecisionMs timerRollWindowSlot
            mappedFileSizeTimerLog enableScheduleMessageStats enableScheduleAsyncDeliver
            scheduleAsyncDeliverMaxPendingLimit scheduleAsyncDeliverMaxResendNum2Blocked
            """
        ),
        (
            "the end of a transaction is one record and needs no messages of its own",
            "transactionOpMsgMaxSize transactionOpBatchInterval"
        ),
        (
            "SQL expressions are judged over the record, so there is no bit map to prepare",
            """
            enableCalcFilterBitMap expectConsumerNumUseFilter maxErrorRateOfBloomFilter
            filterDataCleanTimeSpan filterSupportRetry enableConsumeQueueExt mappedFileSizeConsumeQueueExt
            bitMapLengthConsumeQueueExt filterServerNums bitMapLength
            """
        ),
        (
            "light message queues are not there yet",
            "enableLmq enableMultiDispatch maxLmqConsumeQueueNum enableLmqStats"
        ),
        (
            "name servers are found by address only",
            """
            fetchNamesrvAddrByAddressServer fetchNameSrvAddrByDnsLookup updateNameServerAddrPeriod
            fetchNamesrvAddrInterval
            """
        ),
        (
            "it tunes the inside of the Java broker",
            """
            messageStorePlugIn disableConsumeIfConsumerReadSlowly consumerFallbehindThreshold compressedRegister
            forceRegister enableDetailStat autoDeleteUnusedStats configBlackList brokerConfigPath
            compatibleWithOldNameSrv lockInStrictMode enableSplitRegistration splitRegistrationSize
            enableSingleTopicRegister realTimeNotifyConsumerChange litePullMessageEnable storeType
            highSpeedMode commercialEnable commercialTimerCount commercialTransCount commercialBigCount
            commercialBaseCount productEnvName clusterTest configStorePath returnOrderTopicConfigToBroker
            notifyMinBrokerIdChanged deleteTopicWithBrokerRegistration needWaitForService waitSecondsForService
            validateSystemTopicWhenUpdateTopic rejectPullConsumerEnable
            """
        ),
        (
            "it follows from the other TLS settings: a peer's certificate is checked when there are roots to check it by",
            "useTLS tls.server.authClient tls.client.authServer tls.test.mode.enable tls.config.file"
        ),
    ]
}
