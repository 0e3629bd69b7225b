import BrokerCore
import Model
import Simulation
import Testing

@testable import Server

/// The files beside a store that have no checksum: what is wrong with them is said, and nothing is taken for less than it was.
@Suite("Damaged settings of RocketMQ")
struct DamagedSettingsTests {
    static let files: [(name: String, text: String)] = [
        (
            "topics",
            """
            {
            \t"dataVersion":{
            \t\t"counter":27,
            \t\t"timestamp":1795200321776
            \t},
            \t"topicConfigTable":{
            \t\t"Orders":{
            \t\t\t"order":false,
            \t\t\t"perm":6,
            \t\t\t"readQueueNums":2,
            \t\t\t"topicFilterType":"SINGLE_TAG",
            \t\t\t"topicName":"Orders",
            \t\t\t"topicSysFlag":0,
            \t\t\t"writeQueueNums":2
            \t\t},
            \t\t"Bills":{"order":false,"perm":6,"readQueueNums":4,"topicName":"Bills","topicSysFlag":0,"writeQueueNums":4}
            \t}
            }
            """
        ),
        (
            "subscriptionGroup",
            """
            {"dataVersion":{"counter":10,"timestamp":1795200295956},"subscriptionGroupTable":{"billing":{"brokerId":0,
            "consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"groupName":"billing",
            "notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}}}
            """
        ),
        (
            "consumerOffset",
            "{\n\t\"offsetTable\":{\n\t\t\"Orders@billing\":{0:17,1:40\n\t\t},\"Bills@billing\":{0:9}\n\t}\n}"
        ),
        ("delayOffset", "{\n\t\"offsetTable\":{1:27,2:11,3:11\n\t}\n}"),
    ]

    private func read(_ changed: [String: [UInt8]]) throws(ServerError) -> ForeignState {
        let disk = SimulatedDisk()
        for (name, text) in Self.files {
            disk.install("store/config/\(name).json", changed[name] ?? Array(text.utf8))
        }
        return try ForeignStore.read(root: "store", disk: disk)
    }

    /// How much there is of everything.
    private func counts(_ state: ForeignState) -> [Int] {
        [
            state.topics.count, state.groups.count, state.offsets.count, state.delayOffsets.count,
            Set(state.topics.map(\.name)).count, Set(state.offsets.map(\.topic)).count,
        ]
    }

    @Test("whole files are read")
    func whole() throws {
        let state = try read([:])
        #expect(counts(state) == [2, 1, 3, 3, 2, 2])
        #expect(state.topics.first?.readQueueCount == 2 && state.groups.first?.retryMaximum == 16)
    }

    @Test(
        "any byte that is changed, and any end that is cut off, is an error that names the file, or takes nothing away",
        arguments: files.map(\.name))
    func damaged(name: String) throws {
        let text = try #require(Self.files.first { $0.name == name }).text
        let bytes = Array(text.utf8)
        let whole = counts(try read([:]))
        var refused = 0
        func check(_ damaged: [UInt8], _ how: String) {
            do throws(ServerError) {
                let state = try read([name: damaged])
                #expect(counts(state) == whole, "\(how): less was read than there is")
            } catch {
                refused += 1
                #expect("\(error)".contains("store/config/\(name).json"), "\(how): \(error)")
            }
        }
        for position in bytes.indices {
            for mask: UInt8 in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF] {
                var damaged = bytes
                damaged[position] ^= mask
                check(damaged, "byte \(position) changed by \(mask)")
            }
            check(Array(bytes[..<position]), "cut at \(position)")
            for size in [8, 40, 100] where position + size <= bytes.count {
                var damaged = bytes
                for index in position..<position + size { damaged[index] = 0 }
                check(damaged, "\(size) zeros from \(position)")
            }
            check(
                Array(bytes[..<position]) + [UInt8](repeating: 0, count: bytes.count - position),
                "zeros from \(position)")
        }
        #expect(refused > bytes.count)
    }

    @Test(
        "what RocketMQ never writes is refused",
        arguments: [
            ("topics", "{}"), ("topics", "[]"), ("topics", "{\"topicConfigTable\":[]}"), ("topics", "null"),
            ("topics", "{\"topicConfigTabel\":{}}"), ("subscriptionGroup", "{}"), ("consumerOffset", "{}"),
            ("consumerOffset", "{\"offsetTable\":{\"Orders\":{0:1}}}"),
            ("consumerOffset", "{\"offsetTable\":{\"Orders@g\":{65536:1}}}"),
            ("consumerOffset", "{\"offsetTable\":{\"Orders@g\":{0:1,0:2}}}"),
            ("delayOffset", "{\"offsetTable\":{0:1}}"), ("delayOffset", "{\"offsetTable\":{1:99999999999999999999}}"),
        ])
    func refused(name: String, text: String) {
        let error = #expect(throws: ServerError.self) { try read([name: Array(text.utf8)]) }
        #expect("\(String(describing: error))".contains("store/config/\(name).json"))
    }

    @Test("an empty file gives way to the one before it, and is an error without one")
    func backup() throws {
        let disk = SimulatedDisk()
        for (name, text) in Self.files {
            disk.install("store/config/\(name).json", [])
            disk.install("store/config/\(name).json.bak", Array(text.utf8))
        }
        #expect(counts(try ForeignStore.read(root: "store", disk: disk)) == [2, 1, 3, 3, 2, 2])
        for (name, _) in Self.files {
            #expect(throws: ServerError.self) { try read([name: []]) }
        }
    }

    @Test("no accounts that anybody relies on are read from a file that was cut, changed or emptied without a word")
    func accounts() throws {
        let text = """
            globalWhiteRemoteAddresses:
            - 192.0.2.7
            accounts:
            - accessKey: orders
              secretKey: 12345678
              whiteRemoteAddress: 198.51.100.1
              admin: false
              defaultTopicPerm: DENY
              defaultGroupPerm: SUB
              topicPerms:
              - Orders=PUB|SUB
              groupPerms:
              - billing=SUB

            """
        let bytes = Array(text.utf8)
        let whole = try PlainAccessFile.parse(text)
        try #require(whole.accounts.count == 1)
        var read = 0
        for position in bytes.indices {
            for mask: UInt8 in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40] {
                var damaged = bytes
                damaged[position] ^= mask
                // Whatever it says, it does not trap; and it never makes an administrator.
                guard let rules = try? PlainAccessFile.parse(String(decoding: damaged, as: UTF8.self)) else { continue }
                read += 1
                #expect(rules.accounts.allSatisfy { !$0.isAdministrator }, "byte \(position), \(mask)")
            }
            let cut = try? PlainAccessFile.parse(String(decoding: bytes[..<position], as: UTF8.self))
            #expect(cut?.accounts.allSatisfy { !$0.isAdministrator } != false)
        }
        // Names and secrets may be anything; what has a meaning may not.
        #expect(read < bytes.count * 7 / 2)
    }
}
