import Foundation
import Testing

/// The program itself: a server process, and one process for each command.
@Suite("Commands against a server", .timeLimit(.minutes(2)))
struct CommandsEndToEndTests {
    /// The built program, which lies beside the tests.
    static let program: URL? = {
        let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let candidates = [folder, URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()]
        return candidates.map { $0.appending(path: "apus") }.first {
            FileManager.default.isExecutableFile(atPath: $0.path)
        }
    }()

    private struct Answer {
        var code: Int32
        var output: String
        var error: String
    }

    /// Runs `script` with `apus` as a function in front of a server, through Scripts/with-server.sh.
    private func run(_ script: String) throws -> Answer {
        let program = try #require(Self.program)
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let process = Process()
        process.executableURL = root.appending(path: "Scripts/with-server.sh")
        process.arguments = [program.path, "bash", "-euo", "pipefail", "-c", script]
        process.environment = ProcessInfo.processInfo.environment.merging(["APUS": program.path]) { $1 }
        let output = Pipe()
        let error = Pipe()
        process.standardOutput = output
        process.standardError = error
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // Answers are far smaller than a pipe holds, so one after the other cannot block.
        let texts = [output, error].map {
            String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        process.waitUntilExit()
        return Answer(code: process.terminationStatus, output: texts[0], error: texts[1])
    }

    @Test("create, send, consume, group show", .enabled(if: program != nil))
    func all() throws {
        let answer = try run(
            #"""
            $APUS topic create T --queues 1
            printf 'one \t\ntwo\0\xff\nlast' | $APUS send T --tag a --quiet
            $APUS send T three --tag b --key k --property p=v --output csv | tail -n 1 | cut -d, -f3-
            $APUS consume T --group G --from first --count 3 --within 30s --body-only | od -An -c -v | tr -d ' \n'
            echo
            $APUS consume T --group other --tags b --body-only
            $APUS group show G --output csv | sed 's/,[^,]*$//' | cut -d, -f1,3-
            $APUS consume T --group G --body-only
            $APUS topic status T --output csv | cut -d, -f2-4
            """#)
        #expect(answer.code == 0, "\(answer.error)")
        #expect(
            answer.output.split(separator: "\n") == [
                "topic T created: 1 queue, perm rw", "0,3,SEND_OK", #"one\t\ntwo\0377\nlast\n"#, "three",
                "topic,queue,brokerOffset,consumerOffset,lag", "T,0,4,3,1", "three", "queue,minOffset,maxOffset",
                "0,0,4",
            ])
    }

    @Test("a benchmark of transactions finds every message once and in order", .enabled(if: program != nil))
    func transactions() throws {
        let answer = try run(
            #"""
            for header in json rocketmq; do
                $APUS bench e2e --create-topic --topic T_$header --count 3000 --transactions --header $header --no-progress >/dev/null
            done
            $APUS bench produce --transactions --topic T_json --count 100 --no-progress >/dev/null
            sleep 0.2
            $APUS topic status T_json --output csv | awk -F, '{ sum += $4 } END { print sum }'
            """#)
        #expect(answer.code == 0, "\(answer.error)")
        #expect(answer.output == "3100\n")
    }

    @Test("exit codes tell what went wrong", .enabled(if: program != nil))
    func exitCodes() throws {
        let answer = try run(
            #"""
            code() { local code=0; "$@" >/dev/null 2>&1 </dev/null || code=$?; echo "$code"; }
            code $APUS consume missing --group G
            code $APUS group show missing
            code $APUS topic delete missing
            $APUS topic create T --queues 2 >/dev/null
            code $APUS consume T --group G --count 1 --within 300ms
            code $APUS topic create T --queues 3
            code $APUS send T x --queue 7
            code $APUS topic list --namesrv 127.0.0.1:1
            code $APUS send T x --property wrong
            """#)
        #expect(answer.code == 0, "\(answer.error)")
        #expect(answer.output.split(separator: "\n") == ["3", "3", "3", "4", "5", "3", "4", "2"])
    }
}
