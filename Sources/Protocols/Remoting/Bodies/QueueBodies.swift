import Base
import Bytes
import Model

extension MessageQueue: CommandBody {
    public init(json: JSONValue) throws(BodyError) {
        self.init(
            topic: try json.text("topic"), brokerName: try json.text("brokerName"),
            queueID: QueueID(try json.int32("queueId")))
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("brokerName", brokerName)
            json.field("queueId", queueID.rawValue)
            json.field("topic", topic)
        }
    }
}

extension JSONValue {
    /// A map whose keys are queues: `{{"brokerName":…,"queueId":…,"topic":…}:value,…}`.
    func queueMap<Value>(
        _ name: StaticString, value: (JSONValue) throws(BodyError) -> Value
    ) throws(BodyError) -> [MessageQueue: Value] {
        try map(name, key: { (key) throws(BodyError) in try MessageQueue(json: key) }, value: value)
    }
}

extension JSONWriter {
    mutating func field<Value>(
        _ name: StaticString, queues map: [MessageQueue: Value], _ value: (inout JSONWriter, Value) -> Void
    ) {
        key(name)
        queueMap(map, value)
    }

    mutating func queueMap<Value>(
        _ map: [MessageQueue: Value], _ value: (inout JSONWriter, Value) -> Void
    ) {
        object { json in
            for (queue, element) in map.sorted(by: { $0.key < $1.key }) {
                json.key { queue.write(to: &$0) }
                value(&json, element)
            }
        }
    }
}

/// The body of 41 `LOCK_BATCH_MQ` and 42 `UNLOCK_BATCH_MQ`.
public struct LockBatchBody: CommandBody, Equatable {
    public var clientID: String
    public var consumerGroup: String
    public var queues: [MessageQueue]

    public init(clientID: String, consumerGroup: String, queues: [MessageQueue]) {
        self.clientID = clientID
        self.consumerGroup = consumerGroup
        self.queues = queues
    }

    public init(json: JSONValue) throws(BodyError) {
        clientID = try json.text("clientId")
        consumerGroup = try json.text("consumerGroup")
        queues = try json.list("mqSet") { (value) throws(BodyError) in try MessageQueue(json: value) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("clientId", clientID)
            json.field("consumerGroup", consumerGroup)
            json.field("mqSet", queues)
        }
    }
}

/// The answer to 41: the queues that are now locked for the client.
public struct LockBatchResponseBody: CommandBody, Equatable {
    public var lockedQueues: [MessageQueue]

    public init(lockedQueues: [MessageQueue]) { self.lockedQueues = lockedQueues }

    public init(json: JSONValue) throws(BodyError) {
        lockedQueues = try json.list("lockOKMQSet") { (value) throws(BodyError) in try MessageQueue(json: value) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("lockOKMQSet", lockedQueues) }
    }
}
