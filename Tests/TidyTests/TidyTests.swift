import Testing

/// The rules on the repository itself. What they do with bad input is in `RuleTests.swift`.
@Suite("The repository is tidy")
struct TidyTests {
    private static let sources = Repository.swiftFiles(in: "Sources")
    private static let table = RoomTable.package

    private func expectNone(_ findings: [some CustomStringConvertible], _ location: SourceLocation = #_sourceLocation) {
        for finding in findings { Issue.record(Comment(rawValue: finding.description), sourceLocation: location) }
    }

    @Test("the table of rooms is read whole")
    func tableIsRead() {
        #expect(Self.table.rows.count >= 15)
        #expect(Self.table.rows.allSatisfy { $0.layer > 0 && (!$0.imports.isEmpty || $0.name == "Base") })
        #expect(!Self.sources.isEmpty)
    }

    @Test("every file imports only what its room's row names")
    func imports() { expectNone(Self.sources.flatMap { SourceRules.imports($0, Self.table) }) }

    @Test("no row points upwards or in a circle")
    func order() { expectNone(SourceRules.order(Self.table)) }

    @Test("every folder with Swift files is a room")
    func everyFolderIsARoom() {
        expectNone(Self.sources.filter { Self.table.row(holding: $0.path) == nil }.map(\.path))
    }

    @Test("words that bring clocks, threads, chance or traps stay out")
    func words() { expectNone(Self.sources.flatMap { SourceRules.words($0, Self.table) }) }

    @Test("types are named after what they do")
    func names() { expectNone(Self.sources.flatMap { SourceRules.names($0) }) }

    @Test("what the compiler does not check says why it is sound")
    func safety() { expectNone(Self.sources.flatMap { SourceRules.safety($0) }) }

    @Test("every room has its DocC page")
    func docPages() {
        for room in Self.table.rows where room.layer < 10 && Repository.exists(room.path) {
            let path = "\(room.path)/\(room.name).docc/\(room.name).md"
            expectNone(TextRules.docPage(room.name, Repository.exists(path) ? Repository.text(path) : nil))
        }
    }

    @Test("no file name has a space")
    func fileNames() { expectNone(Repository.paths.flatMap { TextRules.fileName($0) }) }

    @Test("no tabs and no white space at line ends")
    func whitespace() {
        expectNone(
            Repository.paths.filter { TextRules.isText($0) }.flatMap {
                TextRules.whitespace(SourceFile(path: $0, text: Repository.text($0)))
            })
    }

    @Test("every Markdown file has one title")
    func titles() { expectNone(Repository.markdownFiles.flatMap { TextRules.title($0) }) }

    @Test("every relative link leads somewhere")
    func links() {
        expectNone(Repository.markdownFiles.flatMap { TextRules.links($0, exists: Repository.exists) })
    }

    @Test("the changelog begins with what is not released")
    func changelog() { expectNone(TextRules.changelog(Repository.text("CHANGELOG.md"))) }

    @Test("report: the longest functions and files")
    func report() {
        let functions = Self.sources.flatMap { SourceRules.functionLengths($0) }.sorted { $0.lines > $1.lines }
        let files = Self.sources.map { SourceRules.Length(name: $0.path, lines: $0.lines.count) }
            .sorted { $0.lines > $1.lines }
        print("longest functions, in lines:")
        for length in functions.prefix(10) { print("  \(length.lines)  \(length.name)") }
        print("longest files, in lines:")
        for length in files.prefix(10) { print("  \(length.lines)  \(length.name)") }
        #expect(!functions.isEmpty)
    }
}
