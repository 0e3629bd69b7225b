import Base
import Compression
import Model
import RemotingProtocol

// Types of lower rooms that appear in the client's API, under the names that users write.

public typealias CompressionCodec = Compression.CompressionCodec
public typealias ConsumerConnection = RemotingProtocol.ConsumerConnection
public typealias ConsumeStats = RemotingProtocol.ConsumeStats
public typealias ClusterInfo = RemotingProtocol.ClusterInfo
public typealias GroupConfiguration = Model.GroupConfiguration
public typealias HeaderEncoding = RemotingProtocol.HeaderEncoding
public typealias MessageModel = Model.MessageModel
public typealias MessageQueue = Model.MessageQueue
public typealias QueueID = Base.QueueID
public typealias QueueOffset = Base.QueueOffset
public typealias Timestamp = Base.Timestamp
public typealias TopicConfiguration = Model.TopicConfiguration
public typealias TopicRouteData = RemotingProtocol.TopicRouteData
public typealias TopicStatsTable = RemotingProtocol.TopicStatsTable
