import Testing

@testable import Server

@Suite("Settings")
struct SettingTests {
    @Test("every key is declared once")
    func keysAreUnique() {
        let keys = Setting.all.map(\.key)
        #expect(Set(keys).count == keys.count)
    }

    @Test("every environment name and flag is used once")
    func namesAreUnique() {
        let names = Setting.all.map(\.environmentName)
        #expect(Set(names).count == names.count)
        let flags = Setting.all.compactMap(\.flag)
        #expect(Set(flags).count == flags.count)
    }

    @Test("every default is allowed and is spelled back the same", arguments: Setting.all.map(\.key))
    func defaultIsAllowed(key: String) throws {
        let setting = try #require(Setting.named(key))
        for role in [Setting.Roles.broker, .nameServer, .standalone] {
            let value = try #require(setting.kind.parse(setting.defaultText(in: role)))
            #expect(setting.kind.parse(value.text) == value)
        }
    }

    @Test(
        "a key becomes upper snake in the environment",
        arguments: [
            ("listenPort", "APUS_LISTEN_PORT"), ("brokerIP1", "APUS_BROKER_IP1"), ("namesrvAddr", "APUS_NAMESRV_ADDR"),
            ("deleteWhen", "APUS_DELETE_WHEN"), ("maxMsgsNumBatch", "APUS_MAX_MSGS_NUM_BATCH"),
            ("dLegerPeers", "APUS_D_LEGER_PEERS"), ("useTLS", "APUS_USE_TLS"),
        ])
    func environmentName(key: String, name: String) throws {
        #expect(try #require(Setting.named(key)).environmentName == name)
    }

    @Test("dots in a key are underscores in its variable")
    func environmentNames() throws {
        #expect(try #require(Setting.named("tls.server.certPath")).environmentName == "APUS_TLS_SERVER_CERT_PATH")
        #expect(
            try #require(Setting.named("tls.server.need.client.auth")).environmentName
                == "APUS_TLS_SERVER_NEED_CLIENT_AUTH")
    }

    @Test(
        "values are read in their unit",
        arguments: [
            ("mappedFileSizeCommitLog", "1G", "1073741824"), ("mappedFileSizeCommitLog", "64 MiB", "67108864"),
            ("maxMessageSize", "4194304", "4194304"), ("fileReservedTime", "3d", "72"),
            ("fileReservedTime", "72", "72"),
            ("syncFlushTimeout", "5s", "5000"), ("serverChannelMaxIdleTimeSeconds", "2m", "120"),
            ("flushDiskType", "sync_flush", "SYNC_FLUSH"), ("deleteWhen", "4;16", "04;16"),
            ("namesrvAddr", "a:1; b:2;", "a:1;b:2"), ("autoCreateTopicEnable", "FALSE", "false"),
        ])
    func valuesAreRead(key: String, text: String, spelled: String) throws {
        #expect(try #require(Setting.named(key)).kind.parse(text)?.text == spelled)
    }

    @Test(
        "values out of range or of the wrong kind are refused",
        arguments: [
            ("listenPort", "65536"), ("listenPort", "-1"), ("listenPort", "ten"), ("listenPort", ""),
            ("autoCreateTopicEnable", "yes"), ("mappedFileSizeCommitLog", "4G"), ("mappedFileSizeCommitLog", "1X"),
            ("mappedFileSizeCommitLog", "99999999999999999999"), ("mappedFileSizeCommitLog", "9223372036854775807G"),
            ("fileReservedTime", "30m"), ("deleteWhen", "24"), ("deleteWhen", ""), ("deleteWhen", "4;x"),
            ("namesrvAddr", "nohost"), ("namesrvAddr", ":9876"), ("namesrvAddr", "a:0"), ("namesrvAddr", "a b:1"),
            ("flushDiskType", "MAYBE_FLUSH"), ("tls.server.mode", "on"), ("brokerId", "1"),
        ])
    func valuesAreRefused(key: String, text: String) throws {
        #expect(try #require(Setting.named(key)).kind.parse(text) == nil)
    }
}
