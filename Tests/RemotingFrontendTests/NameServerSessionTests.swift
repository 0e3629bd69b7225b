import Base
import Bytes
import Model
import NameService
import RemotingFrontend
import RemotingProtocol
import Testing

@Suite("Requests to a name server")
struct NameServerSessionTests {
    let it = NameServerConversation()

    // MARK: - Routes

    static let route =
        #"{"brokerDatas":[{"brokerAddrs":{KEY:"10.0.0.0:8"},"brokerName":"broker-a","cluster":"C"}],"#
        + #""filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"#
        + #""writeQueueNums":4}]}"#

    @Test(
        "broker ids in a route are quoted from version 401 on, or when asked for",
        arguments: [
            (409, nil, "\"0\""), (401, nil, "\"0\""), (400, nil, "0"), (317, "true", "\"0\""), (317, "false", "0"),
        ] as [(Int32, String?, String)])
    func route(version: Int32, standard: String?, key: String) throws {
        try it.register(topics: [.topic("T")])
        it.version = version
        let name: StaticString = "acceptStandardJsonOnly"
        let fields: [(StaticString, String)] = standard.map { [(name, $0)] } ?? []
        let answer = try it.ask(.getRouteInfoByTopic, [("topic", "T")] + fields)
        #expect(answer.code == 0)
        #expect(answer.text == Self.route.replacing("KEY", with: key))
    }

    @Test("an unknown topic has code 17 and RocketMQ's words")
    func unknownTopic() throws {
        let answer = try it.ask(.getRouteInfoByTopic, [("topic", "T")])
        #expect(answer.code == 17)
        #expect(
            answer.remark == "No topic route info in name server for the topic: T\n"
                + "See http://rocketmq.apache.org/docs/faq/ for further details.")
    }

    @Test("an answer has the encoding of its request", arguments: [HeaderEncoding.json, .binary])
    func encoding(encoding: HeaderEncoding) throws {
        it.encoding = encoding
        try it.register(topics: [.topic("T")])
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == 0)
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "U")]).code == 17)
    }

    @Test("the order configuration comes with the route when the setting is on")
    func orderConfiguration() throws {
        try it.register(topics: [.topic("T")])
        _ = try it.ask(.putKVConfig, [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", "broker-a:4")])
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).json()["orderTopicConf"] == nil)
        #expect(try it.ask(.updateNameServerConfig, body: Array("orderMessageEnable=true\n".utf8)).code == 0)
        #expect(
            try it.ask(.getRouteInfoByTopic, [("topic", "T")]).json()["orderTopicConf"]?.stringValue == "broker-a:4")
    }

    // MARK: - Registration

    @Test("a registration may be plain or compressed", arguments: [false, true])
    func compressed(isCompressed: Bool) throws {
        let answer = try it.register(
            topics: [.topic("T"), .topic("U")], isCompressed: isCompressed)
        #expect(answer.code == 0)
        #expect(answer.body.isEmpty)
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "U")]).code == 0)
    }

    @Test("a body whose checksum is wrong is refused; 0 is not checked", arguments: [0, 1, 2] as [Int32])
    func checksum(kind: Int32) throws {
        let body = try NameServerConversation.registration([.topic("T")])
        let right = Int32(bitPattern: crc32(body.span.bytes) & 0x7FFF_FFFF)
        let sent = [0, right, right ^ 1][Int(kind)]
        let answer = try it.ask(
            .registerBroker, NameServerConversation.identity() + [("bodyCrc32", String(sent))], body: body)
        #expect(answer.code == (kind == 2 ? 1 : 0))
        #expect(answer.remark == (kind == 2 ? "crc32 not match" : nil))
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == (kind == 2 ? 17 : 0))
    }

    @Test("a slave learns where its master is, and brokers get the order configuration")
    func slave() throws {
        _ = try it.ask(.putKVConfig, [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", "broker-a:4")])
        try it.register(topics: [.topic("T")])
        let answer = try it.ask(
            .registerBroker, NameServerConversation.identity(id: "1"),
            body: NameServerConversation.registration([]))
        #expect(answer.fields == ["masterAddr": "10.0.0.0:8", "haServerAddr": "10.0.0.0:20000"])
        #expect(answer.text == #"{"table":{"T":"broker-a:4"}}"#)
    }

    @Test("topics are read again only when the data version says so, however the body begins")
    func dataVersions() throws {
        try it.register(topics: [.topic("T")], counter: 1)
        try it.register(topics: [.topic("U")], counter: 1)
        #expect(it.server.metrics.topicTableReads == 1)
        try it.register(topics: [.topic("U")], counter: 2)
        #expect(it.server.metrics.topicTableReads == 2)
        let unusual = #"{ "topicConfigSerializeWrapper" : {"topicConfigTable":{"V":{"topicName":"V"}}, "dataVersion":"#
        for (counter, reads) in [(2, 2), (3, 3)] as [(Int, UInt64)] {
            let body = unusual + #"{"timestamp":5,"counter":\#(counter)}}}"#
            #expect(
                try it.ask(.registerBroker, NameServerConversation.identity(), body: Array(body.utf8)).code == 0)
            #expect(it.server.metrics.topicTableReads == reads)
        }
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "V")]).code == 0)
    }

    @Test("a broker may register without a body")
    func noBody() throws {
        #expect(try it.ask(.registerBroker, NameServerConversation.identity()).code == 0)
        #expect(try it.ask(.getBrokerClusterInfo).json()["brokerAddrTable"]?.members?.count == 1)
    }

    @Test(
        "a body that cannot be read changes nothing",
        arguments: [
            "{", "[]", "x", #"{"topicConfigSerializeWrapper":3}"#,
            #"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":9,"timestamp":9},"x"#,
            #"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":"x"}}}"#,
        ])
    func malformedBody(body: String) throws {
        let answer = try it.ask(.registerBroker, NameServerConversation.identity(), body: Array(body.utf8))
        #expect(answer.code == 1)
        #expect(answer.remark?.hasPrefix("the body cannot be read: ") == true)
        #expect(try it.ask(.getBrokerClusterInfo).text == #"{"brokerAddrTable":{},"clusterAddrTable":{}}"#)
        #expect(
            try it.ask(
                .registerBroker, NameServerConversation.identity() + [("compressed", "true")],
                body: Array(body.utf8)
            ).code == 1)
    }

    @Test(
        "a field that is missing or wrong is named",
        arguments: [
            ("brokerName", nil, "the custom field <brokerName> is null"),
            ("brokerName", "", "the custom field <brokerName> is a name, not \"\""),
            ("brokerId", "x", "the custom field <brokerId> is a whole number of 64 bits, not \"x\""),
            ("bodyCrc32", "1e9", "the custom field <bodyCrc32> is a whole number of 32 bits, not \"1e9\""),
        ] as [(String, String?, String)])
    func malformedField(name: String, value: String?, remark: String) throws {
        var fields = NameServerConversation.identity().filter { $0.0.description != name }
        if let value {
            fields.append((name == "brokerId" ? "brokerId" : name == "brokerName" ? "brokerName" : "bodyCrc32", value))
        }
        let answer = try it.ask(.registerBroker, fields)
        #expect(answer.code == 1)
        #expect(answer.remark == remark)
    }

    @Test("a broker that leaves, by request or by the end of its connection, takes its routes along")
    func leaving() throws {
        let other = it.frontend.makeSession(peer: .loopback(port: 2))
        try it.register(topics: [.topic("T")], on: other)
        #expect(try it.ask(.unregisterBroker, NameServerConversation.identity()).code == 0)
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == 17)
        try it.register(topics: [.topic("T")], on: other)
        it.session.close()
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == 0)
        other.close()
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == 17)
    }

    @Test("the data version is compared and told")
    func queryDataVersion() throws {
        func ask(_ counter: Int) throws -> Answer {
            try it.ask(
                .queryDataVersion, NameServerConversation.identity(),
                body: Array(#"{"counter":\#(counter),"timestamp":5}"#.utf8))
        }
        var answer = try ask(1)
        #expect(answer.fields == ["changed": "true"])
        #expect(answer.body.isEmpty)
        try it.register(topics: [], counter: 1)
        answer = try ask(1)
        #expect(answer.fields == ["changed": "false"])
        #expect(answer.text == #"{"counter":1,"timestamp":5}"#)
        #expect(try ask(2).fields == ["changed": "true"])
        #expect(try it.ask(.queryDataVersion, NameServerConversation.identity(), body: [1]).code == 1)
    }

    // MARK: - Lists, permissions, key-value configuration

    @Test("cluster information, with the ids as RocketMQ writes them")
    func clusterInformation() throws {
        try it.register(topics: [.topic("T")])
        #expect(
            try it.ask(.getBrokerClusterInfo).text
                == #"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"10.0.0.0:8"},"brokerName":"broker-a","#
                + #""cluster":"C"}},"clusterAddrTable":{"C":["broker-a"]}}"#)
    }

    @Test(
        "lists of topics",
        arguments: [
            (.getAllTopicListFromNameServer, #"{"topicList":["A","B"]}"#),
            (.getTopicsByCluster, #"{"topicList":["A","B"]}"#),
            (.getSystemTopicListFromNameServer, #"{"brokerAddr":"10.0.0.0:8","topicList":["C","broker-a"]}"#),
            (.getUnitTopicList, #"{"topicList":["B"]}"#),
            (.getHasUnitSubTopicList, #"{"topicList":["B"]}"#),
            (.getHasUnitSubUnunitTopicList, #"{"topicList":[]}"#),
        ] as [(RequestCode, String)])
    func lists(code: RequestCode, expected: String) throws {
        try it.register(topics: [.topic("B", systemFlag: 3), .topic("A")])
        #expect(try it.ask(code, [("cluster", "C")]).text == expected)
    }

    @Test("topics of an unknown cluster are none; a cluster must be named")
    func unknownCluster() throws {
        #expect(try it.ask(.getTopicsByCluster, [("cluster", "X")]).text == #"{"topicList":[]}"#)
        #expect(try it.ask(.getTopicsByCluster).code == 1)
    }

    @Test("write permission is wiped and added, with counts")
    func writePermission() throws {
        try it.register(topics: [.topic("T"), .topic("U")])
        #expect(try it.ask(.wipeWritePermOfBroker, [("brokerName", "broker-a")]).fields == ["wipeTopicCount": "2"])
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).text.contains(#""perm":4"#))
        #expect(try it.ask(.addWritePermOfBroker, [("brokerName", "broker-a")]).fields == ["addTopicCount": "2"])
        #expect(try it.ask(.wipeWritePermOfBroker, [("brokerName", "x")]).fields == ["wipeTopicCount": "0"])
    }

    @Test("a topic is deleted, everywhere or in a cluster")
    func deleteTopic() throws {
        try it.register(topics: [.topic("T"), .topic("U")])
        #expect(try it.ask(.deleteTopicInNameServer, [("topic", "T"), ("clusterName", "X")]).code == 0)
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == 0)
        #expect(try it.ask(.deleteTopicInNameServer, [("topic", "T"), ("clusterName", "C")]).code == 0)
        #expect(try it.ask(.deleteTopicInNameServer, [("topic", "U")]).code == 0)
        #expect(try it.ask(.getAllTopicListFromNameServer).text == #"{"topicList":[]}"#)
    }

    @Test("key-value configuration: put, get, list, delete")
    func kvConfig() throws {
        let key: [(StaticString, String)] = [("namespace", "N"), ("key", "k")]
        #expect(try it.ask(.getKVConfig, key).code == 22)
        #expect(try it.ask(.getKVConfig, key).remark == "No config item, Namespace: N Key: k")
        #expect(try it.ask(.getKVListByNamespace, [("namespace", "N")]).remark == "No config item, Namespace: N")
        #expect(try it.ask(.putKVConfig, key + [("value", "a\"ü")]).code == 0)
        #expect(try it.ask(.getKVConfig, key).fields == ["value": "a\"ü"])
        #expect(try it.ask(.getKVListByNamespace, [("namespace", "N")]).text == #"{"table":{"k":"a\"ü"}}"#)
        #expect(try it.ask(.deleteKVConfig, key).code == 0)
        #expect(try it.ask(.getKVConfig, key).code == 22)
        #expect(try it.ask(.getKVListByNamespace, [("namespace", "N")]).text == #"{"table":{}}"#)
    }

    // MARK: - Settings

    @Test(
        "settings are changed by text; protected, fixed and wrong ones are refused",
        arguments: [
            ("orderMessageEnable=true\n", 0, nil, true),
            ("# comment\n orderMessageEnable : true", 0, nil, true),
            ("orderMessageEnable=yes", 1, "orderMessageEnable is true or false, not \"yes\"", false),
            ("orderMessageEnable=true\nkvConfigPath=/x", 16, "Can not update config in black list.", false),
            ("configStorePath=", 16, "Can not update config in black list.", false),
            ("configBlackList=x", 16, "Can not update config in black list.", false),
            (
                "listenPort=1\norderMessageEnable=true", 1, "listenPort cannot be changed while the name server runs",
                false
            ),
            ("listenPort=9876\norderMessageEnable=true\nnobodyKnows=7", 0, nil, true), ("", 0, nil, false),
        ] as [(String, Int32, String?, Bool)])
    func updateConfiguration(text: String, code: Int32, remark: String?, isEnabled: Bool) throws {
        let answer = try it.ask(.updateNameServerConfig, body: Array(text.utf8))
        #expect(answer.code == code)
        #expect(answer.remark == remark)
        #expect(it.server.configuration.isOrderMessageEnabled == isEnabled)
    }

    @Test("lists of topics can be switched off")
    func switchedOff() throws {
        let text = "enableAllTopicList=false\nenableTopicList=false\n"
        #expect(try it.ask(.updateNameServerConfig, body: Array(text.utf8)).code == 0)
        let lists: [RequestCode] = [.getAllTopicListFromNameServer, .getTopicsByCluster, .getUnitTopicList]
        for code in lists {
            let answer = try it.ask(code, [("cluster", "C")])
            #expect(answer.code == 16)
            #expect(answer.remark == "disable")
        }
        #expect(try it.ask(.getSystemTopicListFromNameServer).code == 0)
    }

    @Test("settings are shown as text, and what is shown can be sent back apart from what is protected")
    func getConfiguration() throws {
        let text = try it.ask(.getNameServerConfig).text
        #expect(text.contains("orderMessageEnable=false\n"))
        #expect(text.contains("configBlackList=configBlackList;configStorePath;kvConfigPath\n"))
        let unprotected = text.split(separator: "\n").filter { !$0.hasPrefix("config") && !$0.hasPrefix("kvConfig") }
        #expect(
            try it.ask(.updateNameServerConfig, body: Array(unprotected.joined(separator: "\n").utf8)).code == 0)
    }

    // MARK: - Anything else

    @Test("an unknown code is answered with code 3", arguments: [0, 10, 34, 901, 99_999, -1] as [Int32])
    func unknownCode(code: Int32) throws {
        let answer = try it.ask(RequestCode(code))
        #expect(answer.code == 3)
        #expect(answer.remark == " request type \(code) not supported")
    }

    @Test("one-way requests are carried out and never answered, not even refused")
    func oneway() throws {
        let body = try NameServerConversation.registration([.topic("T")])
        #expect(
            try it.send(it.request(.registerBroker, NameServerConversation.identity(), body: body, isOneway: true))
                == nil)
        #expect(try it.send(it.request(.getRouteInfoByTopic, isOneway: true)) == nil)
        #expect(try it.send(it.request(RequestCode(7), isOneway: true)) == nil)
        #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")]).code == 0)
    }

    @Test("answers to nothing are passed over")
    func response() throws {
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: .json)
        writer.begin(response: .success, opaque: 1)
        writer.end()
        #expect(try it.send(buffer) == nil)
    }

    @Test("a request in pieces waits for its end, and requests behind it for their turn")
    func pieces() throws {
        let first = it.request(.getBrokerClusterInfo).bytes.array()
        let second = it.request(.getAllTopicListFromNameServer).bytes.array()
        let input = ByteBuffer()
        for (index, byte) in first.enumerated() {
            let step = it.session.next(input, it.output)
            #expect(step == .incomplete(bytes: index < 4 ? 4 : first.count))
            input.append(byte)
        }
        input.append(second)
        #expect(it.session.next(input, it.output) == .handled)
        #expect(try Answer(from: it.output)?.json()["brokerAddrTable"] != nil)
        #expect(it.session.next(input, it.output) == .handled)
        #expect(try Answer(from: it.output)?.json()["topicList"] != nil)
        #expect(it.session.next(input, it.output) == .incomplete(bytes: 4))
    }

    @Test(
        "what is no frame ends the conversation",
        arguments: [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [0, 0, 0, 2, 0, 0], [0, 0, 0, 8, 9, 0, 0, 0, 1, 2, 3, 4],
            [0, 0, 0, 6, 0, 0, 0, 2, 0x7B, 0x7D], [0, 0, 0, 8, 0, 0, 0, 4, 1, 2, 3, 4], [0x16, 3, 1, 0, 0xC8, 1, 0, 0],
            [0x80, 0, 0, 0, 0, 0, 0, 0],
        ] as [[UInt8]])
    func malformed(bytes: [UInt8]) {
        let input = ByteBuffer()
        input.append(bytes)
        guard case .malformed(let reason) = it.session.next(input, it.output) else {
            Issue.record("taken for a frame")
            return
        }
        #expect(!reason.isEmpty)
        #expect(it.output.isEmpty)
    }
}
