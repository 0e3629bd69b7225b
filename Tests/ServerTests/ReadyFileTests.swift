import Glibc
import Testing

@testable import Server

@Suite("Ready file")
struct ReadyFileTests {
    @Test("it names the ports that listen, and nothing else")
    func text() {
        let both = ReadyFile(nameServerPort: 1, brokerPort: 2, address: "10.0.0.1\"\n")
        #expect(both.text == "{\"namesrv\": 1, \"broker\": 2, \"address\": \"10.0.0.1\", \"pid\": \(getpid())}\n")
        let one = ReadyFile(nameServerPort: 1, brokerPort: nil, address: "host")
        #expect(!one.text.contains("broker"))
    }

    @Test("it appears whole, and a folder that is missing is told")
    func writing() throws {
        let path = "/tmp/apus-ready-\(getpid())-\(UInt64.random(in: 0 ... .max)).json"
        let ready = ReadyFile(nameServerPort: 1, brokerPort: 2, address: "host")
        try ready.write(to: path)
        defer { unlink(path) }
        #expect(ReadyFile.text(ofFile: path) == ready.text)
        #expect(throws: ConfigurationError.self) { try ready.write(to: "/no/such/folder/ready.json") }
    }
}

extension ReadyFile {
    /// The bytes of a small file.
    fileprivate static func text(ofFile path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1000)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
