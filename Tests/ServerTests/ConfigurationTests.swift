import Base
import Glibc
import RemotingFrontend
import Telemetry
import Testing

@testable import Server

@Suite("Configuration")
struct ConfigurationTests {
    private func file(_ key: String, _ value: String, line: Int = 1) -> Configuration.Assignment {
        .init(key: key, value: value, origin: .file(path: "broker.conf", line: line))
    }

    private func problems(_ assignments: [Configuration.Assignment]) -> [String] {
        do {
            _ = try Configuration(role: .standalone, assignments)
            return []
        } catch {
            return error.problems
        }
    }

    @Test("without any source everything is the default")
    func defaults() throws {
        let configuration = try Configuration(role: .standalone)
        #expect(configuration.integer("listenPort") == 10911)
        #expect(configuration.origin("listenPort") == .builtIn)
        #expect(configuration.notes.isEmpty)
        #expect(try Configuration(role: .nameServer).integer("listenPort") == 9876)
    }

    @Test("a flag wins over the environment, which wins over the file")
    func precedence() throws {
        let flag = Configuration.Assignment(key: "listenPort", value: "3", origin: .flag("--listen-port"))
        let variable = Configuration.Assignment(key: "listenPort", value: "2", origin: .environment("APUS_LISTEN_PORT"))
        let line = file("listenPort", "1", line: 7)
        #expect(try Configuration(role: .broker, [flag, variable, line]).integer("listenPort") == 3)
        #expect(try Configuration(role: .broker, [variable, line]).integer("listenPort") == 2)
        let configuration = try Configuration(role: .broker, [line])
        #expect(configuration.integer("listenPort") == 1)
        #expect(configuration.origin("listenPort").description == "broker.conf:7")
    }

    @Test("the last of two lines with one key counts")
    func lastLineCounts() throws {
        let configuration = try Configuration(
            role: .broker, [file("brokerName", "a"), file("brokerName", "b", line: 2)])
        #expect(configuration.text("brokerName") == "b")
        #expect(configuration.origin("brokerName") == .file(path: "broker.conf", line: 2))
    }

    @Test(
        "an unknown key names its place and the nearest key",
        arguments: [
            ("lisenPort", "listenPort"), ("LISTENPORT", "listenPort"), ("brokerClustername", "brokerClusterName"),
            ("mapedFileSizeCommitLog", "mappedFileSizeCommitLog"), ("nameSrvAddr", "namesrvAddr"),
        ])
    func unknownKey(key: String, nearest: String) {
        #expect(
            problems([file(key, "1", line: 12)]) == [
                "broker.conf:12: unknown key '\(key)'; did you mean '\(nearest)'?"
            ])
    }

    @Test("a value out of range names what is allowed")
    func outOfRange() {
        #expect(
            problems([file("diskMaxUsedSpaceRatio", "5", line: 3)]) == [
                "broker.conf:3: diskMaxUsedSpaceRatio=5 is not allowed; it must be a whole number from 10 to 95"
            ])
    }

    @Test("all problems are told at once")
    func allProblems() {
        #expect(problems([file("x", "1"), file("listenPort", "x"), file("brokerId", "9")]).count == 3)
    }

    @Test("watermarks that contradict each other are refused")
    func watermarks() {
        #expect(problems([file("diskMaxUsedSpaceRatio", "95")]).count == 1)
        #expect(
            problems([
                file("diskMaxUsedSpaceRatio", "95"), file("diskSpaceCleanForciblyRatio", "96"),
                file("diskSpaceWarningLevelRatio", "97"),
            ]).isEmpty)
    }

    @Test(
        "a server that looks guarded and would not be is refused",
        arguments: [
            ("tls.server.mode", "enforcing", "tls.server.certPath"),
            ("tls.server.certPath", "a.pem", "tls.server.keyPath"),
            ("tls.server.need.client.auth", "optional", "tls.server.trustCertPath"),
            ("tls.client.certPath", "a.pem", "tls.client.keyPath"), ("aclEnable", "true", "aclFile"),
        ])
    func halfGuarded(key: String, value: String, missing: String) {
        let said = problems([file(key, value)])
        #expect(said.count == 1)
        #expect(said.first?.hasSuffix("needs \(missing)") == true)
        #expect(!problems([file(key, value), file(missing, "b")]).contains { $0.hasSuffix("needs \(missing)") })
    }

    @Test("a key of RocketMQ without a meaning here is accepted with a note")
    func ignoredKeys() throws {
        let configuration = try Configuration(
            role: .broker, [file("sendMessageThreadPoolNums", "16"), file("transientStorePoolEnable", "true")])
        #expect(configuration.notes.count == 2)
        #expect(configuration.notes[0].hasPrefix("sendMessageThreadPoolNums: accepted without effect, because"))
    }

    @Test("a broker's key in a name server's file is noted")
    func otherRole() throws {
        let configuration = try Configuration(role: .nameServer, [file("flushDiskType", "SYNC_FLUSH")])
        #expect(
            configuration.notes == ["flushDiskType: accepted without effect, because it means nothing to this process"])
    }

    @Test("an unknown variable is a note, since container platforms make such names up")
    func unknownVariable() throws {
        let configuration = try Configuration.load(
            role: .broker, file: nil,
            environment: ["APUS_SERVICE_HOST": "10.0.0.1", "APUS_LISTEN_PORT": "1234", "HOME": "/root"], flags: [])
        #expect(configuration.integer("listenPort") == 1234)
        #expect(configuration.notes.count == 1)
    }

    @Test("NAMESRV_ADDR is read, and our own variable wins over it")
    func nameServerAddress() throws {
        let one = try Configuration.load(
            role: .broker, file: nil, environment: ["NAMESRV_ADDR": "a:9876"], flags: [])
        #expect(one.list("namesrvAddr") == ["a:9876"])
        let two = try Configuration.load(
            role: .broker, file: nil, environment: ["NAMESRV_ADDR": "a:9876", "APUS_NAMESRV_ADDR": "b:1"], flags: [])
        #expect(two.list("namesrvAddr") == ["b:1"])
    }

    @Test("--set splits at the first equals sign")
    func set() {
        #expect(Configuration.assignment(fromSet: "a=b=c")?.value == "b=c")
        #expect(Configuration.assignment(fromSet: "a") == nil)
    }

    @Test("a file that cannot be read says why")
    func unreadableFile() {
        #expect(throws: ConfigurationError(problems: ["/no/such/file: cannot be read (No such file or directory)"])) {
            try Configuration.assignments(inFile: "/no/such/file")
        }
    }

    @Test("a broker.conf as users have it is accepted whole")
    func realFile() throws {
        let path = "/tmp/apus-configuration-\(getpid())-\(UInt64.random(in: 0 ... .max)).conf"
        let text = """
            brokerClusterName = DefaultCluster
            brokerName = broker-a
            brokerId = 0
            namesrvAddr=10.0.0.1:9876;10.0.0.2:9876
            defaultTopicQueueNums=4
            autoCreateTopicEnable=true
            listenPort=10911
            deleteWhen = 04
            fileReservedTime = 48
            mapedFileSizeCommitLog.note.is.gone=x
            mappedFileSizeConsumeQueue=300000
            diskMaxUsedSpaceRatio=88
            storePathRootDir=/data/store
            storePathCommitLog=/data/store/commitlog
            storePathConsumeQueue=/data/store/consumequeue
            storePathIndex=/data/store/index
            storeCheckpoint=/data/store/checkpoint
            abortFile=/data/store/abort
            maxMessageSize=65536
            brokerRole = ASYNC_MASTER
            flushDiskType = ASYNC_FLUSH
            sendMessageThreadPoolNums=128
            pullMessageThreadPoolNums=128
            diskSpaceCleanForciblyRatio=90
            diskSpaceWarningLevelRatio=93
            """.replacing("mapedFileSizeCommitLog.note.is.gone=x\n", with: "")
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
        defer { unlink(path) }
        let configuration = try Configuration.load(role: .broker, file: path, environment: [:], flags: [])
        let broker = configuration.broker
        #expect(broker.name == "broker-a")
        #expect(broker.nameServers == ["10.0.0.1:9876", "10.0.0.2:9876"])
        #expect(broker.store.retention.age == .seconds(48 * 3600))
        #expect(broker.store.commitLog == "/data/store/commitlog")
        #expect(configuration.origin("brokerName") == .file(path: path, line: 2))
    }

    @Test("tools see every setting that mqadmin's exportConfigs cannot do without, once")
    func toolView() throws {
        let view = try Configuration(role: .broker).brokerView(started: Timestamp(milliseconds: 1))
        for name in [
            "brokerClusterName", "brokerId", "brokerName", "brokerRole", "fileReservedTime", "filterServerNums",
            "flushDiskType", "maxMessageSize", "messageDelayLevel", "msgTraceTopicName", "slaveReadEnable", "traceOn",
            "traceTopicEnable", "useTLS", "autoCreateTopicEnable", "autoCreateSubscriptionGroup",
        ] {
            #expect(view.settings.count { $0.name == name } == 1, "\(name)")
        }
        #expect(view.settings.contains { $0 == ("brokerRole", "ASYNC_MASTER") })
        let found = try Configuration(role: .broker).brokerView(
            started: Timestamp(milliseconds: 1), found: ["brokerName": "b"])
        #expect(found.settings.contains { $0 == ("brokerName", "b") })
        #expect(found.settings.count == view.settings.count)
    }

    @Test("the views carry defaults, folders below the root, and whole entries")
    func views() throws {
        let configuration = try Configuration(
            role: .standalone, [file("mappedFileSizeConsumeQueue", "6001"), file("storePathRootDir", "/s")])
        #expect(configuration.broker.store.consumeQueueFileSize == 6020)
        #expect(configuration.broker.store.commitLog == "/s/commitlog")
        #expect(configuration.nameServer.keyValueFile == "/s/namesrv/kvConfig.json")
        #expect(configuration.nameServer.listener.port == 9876)
        #expect(configuration.broker.listener.port == 10911)
        #expect(!configuration.broker.store.flushesSynchronously)
        #expect(configuration.logLevel == .info)
    }
}
