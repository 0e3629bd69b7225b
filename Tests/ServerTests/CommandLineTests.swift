import Testing

@testable import Administration

@Suite("Command line")
struct CommandLineTests {
    static let table = CommandTable(
        [
            Command(
                "topic create", "Create a topic", arguments: [CommandArgument("TOPIC", "Its name")],
                options: [
                    .nameServer, .output,
                    CommandOption("queues", short: "q", .integer(1...1000), default: "8", "Queues"),
                    CommandOption("ordered", .flag, "Ordered"),
                    CommandOption("verify", .flag, default: "true", "Look whether it worked"),
                    CommandOption("label", .text("KEY=VALUE"), isRepeatable: true, "Labels"),
                ]
            ) { _ in .success },
            Command("topic list", "List topics", options: [.output]) { _ in .success },
            Command(
                "send", "Send",
                arguments: [CommandArgument("TOPIC", "Where"), CommandArgument("BODY", "What", isRepeatable: true)],
                options: [
                    CommandOption("key", .text("KEY"), isRequired: true, "Its key"),
                    CommandOption("size", .size, default: "1K", "Size"),
                    CommandOption("within", .duration, default: "2", "Time"),
                ]
            ) { _ in throw CommandFailure(.unreachable, "nobody answers", advice: "start a broker") },
            Command("secret", "Nothing to see", isHidden: true) { _ in .success },
        ],
        groups: [CommandGroup("topic", "Topics")])

    private func parse(_ line: String, environment: [String: String] = [:]) throws(CommandFailure) -> Invocation {
        let words = line.split(separator: " ").map(String.init)
        guard case .run(let invocation) = try CommandParser(table: Self.table, environment: environment).parse(words)
        else {
            throw CommandFailure(.failure, "help")
        }
        return invocation
    }

    private func failure(_ line: String) -> String {
        do {
            _ = try parse(line)
            return ""
        } catch {
            return error.line
        }
    }

    @Test("options stand before, between and after arguments, in every spelling")
    func spellings() throws {
        for line in [
            "topic create --queues 3 T", "topic create T --queues=3", "topic create T -q 3", "topic create -q=3 T",
        ] {
            let invocation = try parse(line)
            #expect(invocation.command.name == "topic create")
            #expect(invocation.arguments == ["T"])
            #expect(invocation.integer("queues") == 3)
        }
    }

    @Test("a switch is off unless it is given, and --no- turns one off")
    func switches() throws {
        #expect(!(try parse("topic create T").flag("ordered")))
        #expect(try parse("topic create T --ordered").flag("ordered"))
        #expect(try parse("topic create T").flag("verify"))
        #expect(!(try parse("topic create T --no-verify").flag("verify")))
    }

    @Test("defaults fill what is not given, and values have types")
    func values() throws {
        let invocation = try parse("send T hello --key k --within 1.5s")
        #expect(invocation.size("size") == 1024)
        #expect(invocation.duration("within") == .milliseconds(1500))
        #expect(!invocation.isGiven("size"))
        #expect(try parse("topic create T --label a=1 --label b=2").texts("label") == ["a=1", "b=2"])
    }

    @Test("two dashes end the options")
    func endOfOptions() throws {
        #expect(try parse("send --key k T -- --key - x").arguments == ["T", "--key", "-", "x"])
    }

    @Test("the name server comes from the option, else from NAMESRV_ADDR, else from the default")
    func nameServer() throws {
        let environment = ["NAMESRV_ADDR": "e:1;f:2"]
        #expect(try parse("topic create T -n a:1", environment: environment).nameServers == ["a:1"])
        #expect(try parse("topic create T", environment: environment).nameServers == ["e:1", "f:2"])
        #expect(try parse("topic create T").nameServers == ["127.0.0.1:9876"])
    }

    @Test(
        "what is wrong is named, with what to do",
        arguments: [
            ("topik list", "apus: there is no command 'topik'; did you mean 'topic'?"),
            ("zzzzzzzzzz", "apus: there is no command 'zzzzzzzzzz'; see 'apus help'"),
            ("topic lst", "apus: 'topic' has no command 'lst'; did you mean 'list'?"),
            ("topic", "apus: 'apus topic' needs a command after it; choose one of create, list"),
            ("topic create", "apus: TOPIC is missing; see 'apus topic create --help'"),
            ("topic create T U", "apus: 'U' is one word too many; see 'apus topic create --help'"),
            ("topic create T --queus 3", "apus: 'apus topic create' has no option '--queus'; did you mean '--queues'?"),
            (
                "topic create T --queues 0",
                "apus: --queues must be a whole number from 1 to 1000, and '0' is not; see 'apus topic create --help'"
            ),
            ("topic create T --queues", "apus: --queues needs a value (N); see 'apus topic create --help'"),
            ("topic create T -q 1 -q 2", "apus: --queues was given twice; see 'apus topic create --help'"),
            (
                "topic list -o xml",
                "apus: --output must be one of table, json, csv, and 'xml' is not; see 'apus topic list --help'"
            ),
            (
                "topic create T --ordered=perhaps",
                "apus: --ordered must be true or false, and 'perhaps' is not; see 'apus topic create --help'"
            ),
            ("send T x", "apus: --key is missing (its key); see 'apus send --help'"),
            (
                "send T x --key k --size 1X",
                "apus: --size must be a size like 1024, 64K or 4M, and '1X' is not; see 'apus send --help'"
            ),
            (
                "send T x --key k --within 1y",
                "apus: --within must be a duration like 500ms, 10s, 5m or 1h, and '1y' is not; see 'apus send --help'"
            ),
            ("--queues 3", "apus: options stand behind the command; see 'apus help'"),
        ])
    func usageErrors(line: String, message: String) {
        #expect(failure(line) == message)
    }

    @Test("exit codes are those of the failure")
    func exitCodes() async {
        #expect(await Self.table.main(["send", "T", "x", "--key", "k"], environment: [:]) == .unreachable)
        #expect(await Self.table.main(["nonsense"], environment: [:]) == .usage)
        #expect(await Self.table.main(["topic", "list"], environment: [:]) == .success)
    }

    @Test("exit codes never change their numbers")
    func exitCodeNumbers() {
        #expect(ExitCode.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 130])
    }

    private func help(_ line: String) throws -> String {
        let words = line.split(separator: " ").map(String.init)
        guard case .help(let text) = try CommandParser(table: Self.table, environment: [:]).parse(words) else {
            return ""
        }
        return text
    }

    @Test("help lists what is visible, and hides what is hidden")
    func helpTexts() throws {
        let overview = try help("")
        #expect(overview.contains("  topic  Topics\n"))
        #expect(overview.contains("  send   Send\n"))
        #expect(!overview.contains("secret"))
        #expect(try help("--help") == overview)
        #expect(try help("help topic").contains("topic create"))
        let one = try help("topic create --help")
        #expect(one == (try help("help topic create")))
        #expect(one.contains("usage: apus topic create TOPIC [OPTIONS]"))
        #expect(one.contains("-q, --queues N"))
        #expect(one.contains("Queues (default: 8)"))
    }

    @Test("the reference page names every visible command and every exit code")
    func reference() {
        let page = CommandReference.markdown(Self.table)
        for command in Self.table.visible { #expect(page.contains("## apus \(command.name)\n")) }
        for code in ExitCode.allCases { #expect(page.contains("| \(code.rawValue) |")) }
        #expect(!page.contains("secret"))
    }

    @Test("completion offers commands, options and fixed values", arguments: ["bash", "zsh", "fish"])
    func completion(shell: String) {
        let script = Completion.script(for: shell, Self.table)
        for word in ["topic", "create", "queues", "table", "csv"] { #expect(script.contains(word)) }
        #expect(!script.contains("secret"))
    }
}

@Suite("Output")
struct OutputTests {
    static let table = OutputTable(
        ["topic", "readQueues", "share", "ordered", "note"],
        [
            [.text("a"), .integer(8), .number(0.5), .boolean(true), .absent],
            [.text("with, \"both\""), .integer(16), .number(.infinity), .boolean(false), .text("x\ny")],
        ])

    @Test("a table is aligned, numbers to the right, and control characters are shown")
    func asTable() {
        #expect(
            Self.table.rendered(as: .table) == """
                TOPIC         READ QUEUES  SHARE  ORDERED  NOTE
                a                       8    0.5  true
                with, "both"           16    inf  false    x\\ny

                """)
    }

    @Test("JSON is an array of objects")
    func asJSON() {
        #expect(
            Self.table.rendered(as: .json) == """
                [
                  {"topic": "a", "readQueues": 8, "share": 0.5, "ordered": true, "note": null},
                  {"topic": "with, \\"both\\"", "readQueues": 16, "share": null, "ordered": false, "note": "x\\ny"}
                ]

                """)
        #expect(OutputTable(["a"]).rendered(as: .json) == "[]\n")
    }

    @Test("CSV quotes what needs it")
    func asCSV() {
        #expect(
            Self.table.rendered(as: .csv) == """
                topic,readQueues,share,ordered,note
                a,8,0.5,true,
                "with, ""both""\",16,inf,false,"x
                y"

                """)
    }

    @Test("colours need a terminal, no NO_COLOR and no dumb terminal")
    func colours() {
        #expect(TextStyle(environment: [:], isTerminal: true).isColoured)
        #expect(TextStyle(environment: ["NO_COLOR": ""], isTerminal: true).isColoured)
        #expect(!TextStyle(environment: ["NO_COLOR": "1"], isTerminal: true).isColoured)
        #expect(!TextStyle(environment: ["TERM": "dumb"], isTerminal: true).isColoured)
        #expect(!TextStyle(environment: [:], isTerminal: false).isColoured)
        #expect(TextStyle.plain.bold("x") == "x")
    }

    @Test("JSON text escapes what it must")
    func jsonText() {
        #expect(JSONText.string("a\"\\\n\r\t\u{1}é") == "\"a\\\"\\\\\\n\\r\\t\\u0001é\"")
    }
}
