import Foundation

/// The files of the repository, as text.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static let skipped: Set<String> = [".git", ".build", ".venv", "data", "__pycache__", ".pytest_cache"]

    /// Paths relative to the root, sorted, without what is built or stored.
    static let paths: [String] = {
        var result: [String] = []
        var folders = [""]
        while let folder = folders.popLast() {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path + "/" + folder)) ?? []
            for name in names where !skipped.contains(name) && !name.hasPrefix(".build") {
                let path = folder.isEmpty ? name : folder + "/" + name
                var isFolder: ObjCBool = false
                let isThere = FileManager.default.fileExists(atPath: root.path + "/" + path, isDirectory: &isFolder)
                if isThere, isFolder.boolValue { folders.append(path) } else { result.append(path) }
            }
        }
        return result.sorted()
    }()

    static func text(_ path: String) -> String {
        (try? String(contentsOf: root.appending(path: path), encoding: .utf8)) ?? ""
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.path + "/" + path)
    }

    /// Swift files below a folder.
    static func swiftFiles(in folder: String) -> [SourceFile] {
        paths.filter { $0.hasPrefix(folder + "/") && $0.hasSuffix(".swift") }
            .map { SourceFile(path: $0, text: text($0)) }
    }

    static var markdownFiles: [SourceFile] {
        paths.filter { $0.hasSuffix(".md") }.map { SourceFile(path: $0, text: text($0)) }
    }
}

struct SourceFile: Sendable {
    let path: String
    let text: String
    let lines: [String]
    /// The lines without comments and without what stands in string literals, so that a rule meets code only. Empty for other than Swift.
    let codeLines: [String]

    init(path: String, text: String) {
        self.path = path
        self.text = text
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        codeLines = path.hasSuffix(".swift") ? CodeScanner.code(of: text) : []
    }
}

/// Something that a rule found: `path:line: what is wrong; what to do`.
struct Finding: Equatable, CustomStringConvertible {
    var path: String
    var line: Int
    var message: String
    var description: String { "\(path):\(line): \(message)" }
}

/// Blanks comments and string literals, keeping line numbers.
enum CodeScanner {
    private enum State { case code, lineComment, blockComment(Int), string, longString }

    static func code(of text: String) -> [String] {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var state = State.code
        var index = 0
        func starts(_ word: String) -> Bool { bytes[index...].starts(with: word.utf8) }
        while index < bytes.count {
            var length = 1
            var keeps = false
            switch state {
            case .code:
                if starts("//") {
                    state = .lineComment
                } else if starts("/*") {
                    state = .blockComment(1); length = 2
                } else if starts("\"\"\"") {
                    state = .longString; length = 3
                } else if starts("\"") {
                    state = .string
                } else {
                    keeps = true
                }
            case .lineComment:
                if starts("\n") { state = .code }
            case .blockComment(let depth):
                if starts("/*") { state = .blockComment(depth + 1); length = 2 }
                if starts("*/") { state = depth == 1 ? .code : .blockComment(depth - 1); length = 2 }
            case .string:
                if starts("\\") { length = 2 } else if starts("\"") || starts("\n") { state = .code }
            case .longString:
                if starts("\\") { length = 2 } else if starts("\"\"\"") { state = .code; length = 3 }
            }
            for byte in bytes[index..<min(index + length, bytes.count)] {
                result.append(keeps || byte == UInt8(ascii: "\n") ? byte : UInt8(ascii: " "))
            }
            index += length
        }
        return String(decoding: result, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
    }
}
