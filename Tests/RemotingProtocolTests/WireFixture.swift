import Bytes
import Foundation
import RemotingProtocol

/// One captured frame and what the capture says of it.
struct CapturedFrame: CustomStringConvertible {
    var file: String
    var line: Int
    var code: Int32
    var flag: Int32
    var opaque: Int32
    /// Of an answer, the code that it answers.
    var requestCode: Int32
    var encoding: HeaderEncoding
    var bytes: [UInt8]
    var isResponse: Bool { flag & 1 != 0 }
    var description: String { "\(file):\(line) code \(code) of \(requestCode)" }
}

enum WireFixture {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/Wire/rocketmq-4.9.8")

    /// Names of the files, as `json/send-sync`.
    static let scenarios: [String] = {
        ["json", "rocketmq", "mqadmin"].flatMap { part in
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.appending(path: part).path)) ?? []
            precondition(!names.isEmpty, "no captured traffic in \(part)")
            return names.filter { $0.hasSuffix(".jsonl") }.map { part + "/" + $0.dropLast(6) }.sorted()
        }
    }()

    static func frames(_ scenario: String) throws -> [CapturedFrame] {
        let text = try String(contentsOf: folder.appending(path: scenario + ".jsonl"), encoding: .utf8)
        return try text.split(separator: "\n").enumerated().map { index, line in
            let json = try JSONValue(parsing: String(line))
            let code = Int32(json["code"]!.integerValue!)
            return CapturedFrame(
                file: scenario, line: index + 1, code: code, flag: Int32(json["flag"]!.integerValue!),
                opaque: Int32(json["opaque"]!.integerValue!),
                requestCode: Int32(json["request_code"]?.integerValue ?? Int64(code)),
                encoding: json["header_encoding"] == "JSON" ? .json : .binary,
                bytes: bytes(hexadecimal: json["hex"]!.stringValue!))
        }
    }
}

extension JSONValue {
    /// The same document with the members of every object in one order.
    var sorted: JSONValue {
        switch self {
        case .array(let elements): return .array(elements.map(\.sorted))
        case .object(let members):
            let sorted = members.map { Member($0.key.sorted, $0.value.sorted) }
            return .object(sorted.sorted { "\($0.key)" < "\($1.key)" })
        default: return self
        }
    }
}
