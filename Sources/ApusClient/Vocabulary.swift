// Types of lower rooms that appear in the client's API: whoever imports ApusClient has them, and nothing else of those rooms.

@_exported import struct Base.HostAddress
@_exported import struct Base.PhysicalOffset
@_exported import struct Base.QueueID
@_exported import struct Base.QueueOffset
@_exported import struct Base.Timestamp
@_exported import enum Compression.CompressionCodec
@_exported import struct Model.GroupConfiguration
@_exported import struct Model.MessageFlags
@_exported import enum Model.MessageModel
@_exported import struct Model.MessageQueue
@_exported import struct Model.Permission
@_exported import struct Model.TopicConfiguration
@_exported import struct RemotingProtocol.BrokerData
@_exported import struct RemotingProtocol.ClientConnection
@_exported import struct RemotingProtocol.ClusterInfo
@_exported import struct RemotingProtocol.ConsumeStats
@_exported import struct RemotingProtocol.ConsumerConnection
@_exported import enum RemotingProtocol.HeaderEncoding
@_exported import struct RemotingProtocol.QueueData
@_exported import struct RemotingProtocol.TopicRouteData
@_exported import struct RemotingProtocol.TopicStatsTable
@_exported import struct Telemetry.Log
@_exported import enum Telemetry.LogLevel
@_exported import protocol Telemetry.LogSink
@_exported import struct Telemetry.StandardErrorLogSink
