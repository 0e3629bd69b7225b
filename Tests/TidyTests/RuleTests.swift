import Testing

/// Each rule meets what it must find and what it must let pass: a rule that never fires is worse than none.
@Suite("Tidy rules find what they are for")
struct RuleTests {
    private static let table = RoomTable(
        """
        let rooms: [Room] = [
            Room(1, "Base"),
            Room(1, "Bytes", imports: ["Base", "CISAL"]),
            Room(
                6, "Core", path: "Deep/Core",
                imports: [
                    "Base", "Bytes",
                ]),
            Room(8, "Upper", imports: ["Core"]),
        ]
        .executableTarget(
            name: "apus", dependencies: dependencies(["Upper"]), path: "Sources/apus",
            swiftSettings: settings)
        """)

    private func core(_ text: String) -> SourceFile { SourceFile(path: "Sources/Deep/Core/File.swift", text: text) }
    private func upper(_ text: String) -> SourceFile { SourceFile(path: "Sources/Upper/File.swift", text: text) }

    @Test("rows are read with layer, folder and imports")
    func rows() {
        #expect(Self.table.rows.map(\.name) == ["Base", "Bytes", "Core", "Upper", "apus"])
        #expect(
            Self.table.row(named: "Core")
                == .init(layer: 6, name: "Core", path: "Sources/Deep/Core", imports: ["Base", "Bytes"]))
        #expect(Self.table.row(named: "apus")?.imports == ["Upper"])
        #expect(Self.table.row(holding: "Sources/Nowhere/File.swift") == nil)
    }

    @Test(
        "an import that the row does not name is found",
        arguments: [
            "import Upper", "  @testable import Upper", "public import Upper", "import struct Upper.Thing",
            "import Upper.Part", "import Foundation", "import Dispatch",
        ])
    func badImport(line: String) {
        #expect(SourceRules.imports(core("import Base\n" + line), Self.table).map(\.line) == [2])
    }

    @Test(
        "an import that the row names, or of the toolchain, passes", arguments: ["Bytes", "Glibc", "Synchronization"])
    func goodImport(module: String) {
        #expect(SourceRules.imports(core("import \(module) // import Upper"), Self.table).isEmpty)
    }

    @Test("Foundation passes from layer 8 on")
    func foundation() { #expect(SourceRules.imports(upper("import Foundation"), Self.table).isEmpty) }

    @Test("a row that points upwards, at itself or in a circle is found")
    func order() {
        #expect(SourceRules.order(Self.table).isEmpty)
        let upwards = RoomTable("let rooms: [Room] = [\nRoom(1, \"A\", imports: [\"B\"]),\nRoom(2, \"B\"),\n]")
        #expect(SourceRules.order(upwards).count == 1)
        let circle = RoomTable(
            "let rooms: [Room] = [\nRoom(1, \"A\", imports: [\"B\"]),\nRoom(1, \"B\", imports: [\"A\"]),\n]")
        #expect(SourceRules.order(circle).count == 1)
    }

    @Test(
        "a banned word is found in code",
        arguments: [
            "let a = Date()", "clock.now", "Task { }", "Task.detached { }", "try await Task.sleep(for: x)", "usleep(1)",
            "DispatchQueue.main", "Int.random(in: 0..<3)", "let x = try! f()", "x as! Int", "fatalError()", "print(1)",
        ])
    func bannedWord(line: String) {
        #expect(SourceRules.words(core(line), Self.table).count == 1)
    }

    @Test(
        "a banned word passes in comments, in strings, in longer words and where it is allowed",
        arguments: [
            "// Date()", "/* try! */ let a = 1", "let a = \"Date()\"", "let a = \"\"\"\n print(1)\n \"\"\"",
            "UpDate(1)",
            "func print(_ text: String) {}", "console.print(1)", "MyTask { }", "let nowhere = a.nowhere",
        ])
    func allowedWord(text: String) {
        #expect(SourceRules.words(core(text), Self.table).isEmpty)
    }

    @Test("above the core only what is banned everywhere is found")
    func wordsAbove() {
        #expect(SourceRules.words(upper("Task { }; Date()"), Self.table).isEmpty)
        #expect(SourceRules.words(upper("try! f()"), Self.table).count == 1)
    }

    @Test(
        "names that say nothing are found",
        arguments: [
            ("final class TopicManager {", 1), ("enum StringUtils {", 1), ("struct Helper {", 1),
            ("actor StoreImpl {", 1),
            ("struct Topic {", 0), ("let manager = TopicManager()", 0), ("struct Utility {", 0),
        ])
    func names(line: String, count: Int) {
        #expect(SourceRules.names(core(line)).count == count)
    }

    @Test(
        "unchecked code without a reason is found, with one it passes",
        arguments: [
            ("final class A: @unchecked Sendable {}", 1), ("nonisolated(unsafe) var a = 1", 1),
            ("return unsafe f()", 1),
            ("final class A: @unchecked Sendable {\n    // SAFETY: one thread.\n}", 0),
            ("// SAFETY: one thread.\nfinal class A: @unchecked Sendable {}", 0),
            ("// SAFETY: one thread,\n// always.\n@frozen\nnonisolated(unsafe) var a = 1", 0),
            ("// SAFETY: far away.\n\n\n\n\nreturn unsafe f()", 1), ("let unsafeName = 1 // unsafe", 0),
        ])
    func safety(text: String, count: Int) {
        #expect(SourceRules.safety(core(text)).count == count)
    }

    @Test("functions are measured from their first to their last line")
    func functionLengths() {
        let text =
            "struct A {\n    func one() {\n        f {\n        }\n    }\n    var x: Int { 1 }\n    init() {}\n}\n"
        #expect(SourceRules.functionLengths(core(text)).first?.lines == 4)
    }

    @Test(
        "white space is found",
        arguments: [
            ("a\n", 0), ("", 0), ("a \n", 1), ("\ta\n", 1), ("a", 1), ("a\n\n", 1), ("a\r\n", 1), ("a\n\nb\n", 0),
        ])
    func whitespace(text: String, count: Int) {
        #expect(TextRules.whitespace(core(text)).count == count)
    }

    @Test("a space in a file name is found")
    func fileName() {
        #expect(TextRules.fileName("docs/two words.md").count == 1)
        #expect(TextRules.fileName("docs/two-words.md").isEmpty)
    }

    @Test(
        "a missing, second or late title is found",
        arguments: [
            ("# A\n", 0), ("# A\n```\n# not a title\n```\n", 0), ("# A\n\n# B\n", 1), ("text\n# A\n", 1), ("## A\n", 1),
            ("", 1),
        ])
    func title(text: String, count: Int) {
        #expect(TextRules.title(SourceFile(path: "a.md", text: text)).count == count)
    }

    @Test(
        "a link that leads nowhere is found",
        arguments: [
            ("[a](start.md)", 0), ("[a](../README.md#top)", 0), ("[a](#here)", 0), ("[a](https://example.org/x)", 0),
            ("`[a](gone.md)`", 0), ("[a](gone.md)", 1), ("[a](../../up.md)", 1), ("[a](start.md) and [b](gone.md)", 1),
        ])
    func links(line: String, count: Int) {
        let present: Set = ["README.md", "docs/start.md"]
        #expect(TextRules.links(SourceFile(path: "docs/a.md", text: line), exists: present.contains).count == count)
    }

    @Test("a changelog without an unreleased chapter on top is found")
    func changelog() {
        #expect(TextRules.changelog("# C\n\n## Unreleased\n## 1.0\n").isEmpty)
        #expect(TextRules.changelog("# C\n\n## 1.0\n## Unreleased\n").count == 1)
        #expect(TextRules.changelog("# C\n").count == 1)
    }

    @Test("a missing, wrong or long DocC page is found")
    func docPage() {
        #expect(TextRules.docPage("A", "# ``A``\n\nText.\n").isEmpty)
        #expect(TextRules.docPage("A", nil).count == 1)
        #expect(TextRules.docPage("A", "# ``B``\n").count == 1)
        #expect(TextRules.docPage("A", "# ``A``\n" + String(repeating: "x\n", count: 40)).count == 1)
    }
}
