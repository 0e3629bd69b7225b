/// Rules about Swift files. Each is a function from a file to what is wrong with it, so that a test can feed it a bad one.
enum SourceRules {
    // MARK: - Imports

    /// Parts of the toolchain that every room may use.
    private static let toolchain: Set<String> = ["Swift", "Glibc", "Synchronization"]

    /// A file imports only what the row of its room names; Foundation is for layer 8 and above.
    static func imports(_ file: SourceFile, _ table: RoomTable) -> [Finding] {
        guard let room = table.row(holding: file.path) else { return [] }
        return file.codeLines.enumerated().compactMap { index, line in
            guard let module = importedModule(line), !toolchain.contains(module), !room.imports.contains(module) else {
                return nil
            }
            if module == "Foundation" || module == "FoundationEssentials" {
                guard room.layer < 8 else { return nil }
                return Finding(
                    path: file.path, line: index + 1,
                    message:
                        "\(room.name) is in layer \(room.layer), where there is no Foundation; use Glibc or a seam of Base"
                )
            }
            return Finding(
                path: file.path, line: index + 1,
                message: "the row of \(room.name) in Package.swift does not name \(module)")
        }
    }

    /// `import X`, `public import X`, `@testable import X`, `import struct X.Y`.
    static func importedModule(_ line: String) -> String? {
        var words = line.split(separator: " ")
        while let first = words.first,
            first.hasPrefix("@") || ["public", "internal", "private", "package"].contains(first)
        {
            words.removeFirst()
        }
        guard words.first == "import", words.count > 1 else { return nil }
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "let", "var", "typealias"]
        let path = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
        return String(path.prefix { $0 != "." })
    }

    /// A row imports only rows above it in the table, of its own or a lower layer: so nothing points upwards and nothing in a circle.
    static func order(_ table: RoomTable) -> [String] {
        var problems: [String] = []
        for (index, row) in table.rows.enumerated() {
            for name in row.imports {
                guard let other = table.rows.firstIndex(where: { $0.name == name }) else { continue }
                if other >= index || table.rows[other].layer > row.layer {
                    problems.append("\(row.name) (layer \(row.layer)) imports \(name), which is not below it")
                }
            }
        }
        return problems
    }

    // MARK: - Words

    struct BannedWord {
        var word: String
        var instead: String
        /// Layers in which it is banned, and rooms there that may.
        var layers: ClosedRange<Int>
        var except: Set<String> = []
    }

    static let bannedWords: [BannedWord] = [
        BannedWord(word: "Date(", instead: "the Clock that the room is handed", layers: 1...7),
        // The client library is at the edge: its callers' deadlines are on their clocks, and nobody replays it from a seed.
        BannedWord(word: ".now", instead: "the Clock that the room is handed", layers: 1...7, except: ["ApusClient"]),
        BannedWord(word: "ContinuousClock", instead: "the Clock that the room is handed", layers: 1...7),
        BannedWord(
            word: "clock_gettime", instead: "the Clock that the room is handed", layers: 1...7,
            except: ["Runtime", "Telemetry", "ApusClient"]),
        BannedWord(word: "Task {", instead: "a call on the loop", layers: 1...7, except: ["ApusClient"]),
        BannedWord(word: "Task.detached", instead: "a call on the loop", layers: 1...7, except: ["ApusClient"]),
        BannedWord(word: "Task.sleep", instead: "a timer of the loop", layers: 1...7, except: ["ApusClient"]),
        BannedWord(word: "usleep", instead: "a timer of the loop", layers: 1...10),
        BannedWord(word: "DispatchQueue", instead: "the loop or its worker pool", layers: 1...10),
        BannedWord(
            word: ".random(", instead: "the RandomSource that the room is handed", layers: 1...7, except: ["ApusClient"]
        ),
        BannedWord(
            word: ".randomElement(", instead: "the RandomSource that the room is handed", layers: 1...7,
            except: ["ApusClient"]),
        BannedWord(word: ".shuffled()", instead: "the RandomSource that the room is handed", layers: 1...7),
        BannedWord(
            word: "SystemRandomNumberGenerator", instead: "the RandomSource that the room is handed", layers: 1...7,
            except: ["Runtime"]),
        BannedWord(word: "try!", instead: "try and a typed error", layers: 1...10),
        BannedWord(word: "as!", instead: "as? and a guard", layers: 1...10),
        BannedWord(word: "fatalError(", instead: "preconditionFailure or invariant", layers: 1...10),
        BannedWord(word: "print(", instead: "a Log, or Console in commands", layers: 1...10),
        BannedWord(word: "debugPrint(", instead: "a Log", layers: 1...10),
    ]

    static func words(_ file: SourceFile, _ table: RoomTable) -> [Finding] {
        guard let room = table.row(holding: file.path) else { return [] }
        let banned = bannedWords.filter { $0.layers.contains(room.layer) && !$0.except.contains(room.name) }
        return file.codeLines.enumerated().flatMap { index, line in
            banned.filter { contains($0.word, in: line) }.map {
                Finding(
                    path: file.path, line: index + 1,
                    message: "'\($0.word)' does not belong in \(room.name); use \($0.instead)")
            }
        }
    }

    /// True when the word stands there and is neither the end of a longer one nor a method or declaration of that name.
    private static func contains(_ word: String, in line: String) -> Bool {
        var rest = line[...]
        while let found = rest.firstRange(of: word) {
            let before = line[..<found.lowerBound]
            let after = line[found.upperBound...].first
            let endsWord =
                word.last.map { !$0.isLetter } == true || !(after?.isLetter == true || after?.isNumber == true)
            let last = before.last
            let isWhole = word.hasPrefix(".") || !(last?.isLetter == true || last == "." || last == "_" || last == "`")
            if endsWord, isWhole, !before.hasSuffix("func ") { return true }
            rest = rest[found.upperBound...]
        }
        return false
    }

    /// Names that say nothing (docs/glossary.md has better ones).
    static func names(_ file: SourceFile) -> [Finding] {
        let kinds: Set<Substring> = ["class", "struct", "enum", "protocol", "actor", "typealias"]
        let endings = ["Manager", "Helper", "Helpers", "Util", "Utils", "Impl"]
        return file.codeLines.enumerated().compactMap { index, line in
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
            guard let kind = words.firstIndex(where: kinds.contains), kind + 1 < words.count,
                endings.contains(where: { words[kind + 1].hasSuffix($0) })
            else { return nil }
            return Finding(
                path: file.path, line: index + 1,
                message: "\(words[kind + 1]) says nothing; name what it does as a noun")
        }
    }

    // MARK: - Safety

    /// What the compiler no longer checks says why it is sound: `// SAFETY:` on the line, on one of the three before
    /// it, or on the next, where the body of a type begins.
    static func safety(_ file: SourceFile) -> [Finding] {
        let lines = file.lines
        return file.codeLines.enumerated().compactMap { index, line in
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
            let unchecked =
                line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)")
                || words.contains("unsafe") && !line.contains("(unsafe)")
            guard unchecked else { return nil }
            let near = lines[max(0, index - 3)...min(index + 1, lines.count - 1)]
            if near.contains(where: { $0.contains("SAFETY:") }) { return nil }
            return Finding(
                path: file.path, line: index + 1,
                message: "unchecked by the compiler; say why it is sound after '// SAFETY:'")
        }
    }

    // MARK: - Report

    struct Length: Equatable {
        var name: String
        var lines: Int
    }

    private static let modifiers: Set<Substring> = [
        "public", "package", "internal", "fileprivate", "private", "static", "final", "override", "mutating",
        "borrowing",
        "consuming", "inlinable", "usableFromInline", "discardableResult", "inline", "__always", "never", "nonisolated",
        "required", "convenience",
    ]

    /// Functions by their lines, longest first. A body ends at the brace that is indented like its `func`, which the formatter assures.
    static func functionLengths(_ file: SourceFile) -> [Length] {
        let lines = file.codeLines
        var result: [Length] = []
        for (index, line) in lines.enumerated() {
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
            guard let keyword = words.firstIndex(where: { !modifiers.contains($0) }), words.count > keyword,
                words[keyword] == "func" || words[keyword] == "init", !line.contains(".init"), line.last != "}"
            else { continue }
            let indent = line.prefix { $0 == " " }
            // A declaration over several lines opens its body behind `)`; one of a protocol opens none.
            let signature =
                line.last == "{" ? index : lines[index...].firstIndex { $0.hasPrefix(indent + ")") } ?? index
            guard lines[signature].last == "{", line.last == "{" || line.last == "(" else { continue }
            let end = lines[index...].firstIndex { $0.hasPrefix(indent + "}") } ?? index
            let name = words[keyword] == "func" && keyword + 1 < words.count ? String(words[keyword + 1]) : "init"
            result.append(Length(name: "\(file.path):\(index + 1) \(name)", lines: end - index + 1))
        }
        return result.sorted { $0.lines > $1.lines }
    }
}
