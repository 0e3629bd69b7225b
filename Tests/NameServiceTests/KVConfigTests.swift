import Base
import NameService
import Telemetry
import Testing

@Suite("Key-value configuration")
struct KVConfigTests {
    let disk = MemoryDisk()
    static let path = "conf/kvConfig.json"

    private func start() throws -> NameServer {
        var configuration = NameServerConfiguration()
        configuration.kvConfigPath = Self.path
        return try NameServer(configuration: configuration, clock: HandClock(), disk: disk, log: .silent)
    }

    @Test("put, get, delete, list")
    func inMemory() throws {
        let server = NameServerFixture().server
        #expect(server.kvConfig(namespace: "N") == nil)
        #expect(server.kvConfig(namespace: "N", key: "k") == nil)
        try server.deleteKVConfig(namespace: "N", key: "k")
        #expect(server.kvConfig(namespace: "N") == nil)
        try server.putKVConfig(namespace: "N", key: "k", value: "1")
        try server.putKVConfig(namespace: "N", key: "k", value: "2")
        try server.putKVConfig(namespace: "N", key: "", value: "")
        try server.putKVConfig(namespace: "M", key: "k", value: "3")
        #expect(server.kvConfig(namespace: "N") == ["k": "2", "": ""])
        #expect(server.kvConfig(namespace: "N", key: "k") == "2")
        try server.deleteKVConfig(namespace: "M", key: "k")
        #expect(server.kvConfig(namespace: "M") == [:])
        #expect(server.kvConfig(namespace: "M", key: "k") == nil)
    }

    @Test("what RocketMQ's file holds is served")
    func readsRocketMQ() throws {
        disk[Self.path] = #"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"broker-a:4;broker-b:4"},"Empty":{}}}"#
        let server = try start()
        #expect(server.kvConfig(namespace: NameServer.orderNamespace) == ["T": "broker-a:4;broker-b:4"])
        #expect(server.kvConfig(namespace: "Empty") == [:])
    }

    @Test("the file has RocketMQ's form, sorted and escaped")
    func writes() throws {
        let server = try start()
        try server.putKVConfig(namespace: "N", key: "k2", value: "a\"b\n")
        try server.putKVConfig(namespace: "N", key: "k1", value: "ü")
        try server.putKVConfig(namespace: "M", key: "k", value: "v")
        try server.deleteKVConfig(namespace: "M", key: "k")
        #expect(disk[Self.path] == #"{"configTable":{"M":{},"N":{"k1":"ü","k2":"a\"b\n"}}}"#)
    }

    @Test("a change that was answered survives a crash")
    func durable() throws {
        try start().putKVConfig(namespace: "N", key: "k", value: "v")
        disk.crash()
        #expect(try start().kvConfig(namespace: "N", key: "k") == "v")
    }

    @Test(
        "a change that cannot be saved is refused and not made",
        arguments: ["mkdir", "open", "write", "fsync", "rename", "fsync directory"])
    func cannotSave(operation: String) throws {
        let server = try start()
        try server.putKVConfig(namespace: "N", key: "k", value: "old")
        disk.failing = operation
        #expect(throws: NameServerError.self) { try server.putKVConfig(namespace: "N", key: "k", value: "new") }
        #expect(throws: NameServerError.self) { try server.deleteKVConfig(namespace: "N", key: "k") }
        #expect(server.kvConfig(namespace: "N", key: "k") == "old")
        disk.failing = nil
        disk.crash()
        #expect(try start().kvConfig(namespace: "N", key: "k") == "old")
    }

    @Test("deleting what is not there does not touch the file")
    func deleteMissing() throws {
        let server = try start()
        disk.failing = "open"
        try server.deleteKVConfig(namespace: "N", key: "k")
    }

    @Test("a missing or empty file is an empty configuration", arguments: [nil, ""])
    func emptyFile(content: String?) throws {
        if let content { disk[Self.path] = content }
        #expect(try start().kvConfig(namespace: "N") == nil)
    }

    @Test(
        "a file that cannot be understood keeps the name server from starting, and stays",
        arguments: ["{", "[]", #"{"configTable":3}"#, "null"])
    func malformed(content: String) throws {
        disk[Self.path] = content
        #expect(throws: NameServerError.self) { try start() }
        #expect(disk[Self.path] == content)
    }

    @Test("a file that cannot be read keeps the name server from starting", arguments: ["open", "read"])
    func unreadable(operation: String) throws {
        disk[Self.path] = #"{"configTable":{}}"#
        disk.failing = operation
        #expect(throws: NameServerError.self) { try start() }
    }
}
