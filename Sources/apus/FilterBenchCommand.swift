import Administration
import Server

/// `apus bench filter`: the one bench that needs the broker's inside and no server.
enum FilterBenchCommand {
    static let all: [Command] = [filter]

    static let filter = Command(
        "bench filter", "Check an SQL92 expression, and measure how long it takes over one message",
        discussion: "Needs no server: compiles the expression as a broker does and runs it over properties in memory.",
        arguments: [
            CommandArgument("EXPRESSION", "Default: a > 5 AND region IN ('EU','US')", isRequired: false)
        ],
        options: [
            CommandOption(
                "properties", short: "p", .text("NAME=VALUE …"),
                "Properties of the message, besides those that clients always send; without it, sixteen samples"),
            CommandOption("count", .integer(1...10_000_000_000), default: "10000000", "Messages"),
            .output,
        ],
        examples: [
            CommandExample("apus bench filter", "The expression of the documented figure"),
            CommandExample(
                "apus bench filter \"price BETWEEN 10 AND 20\" --properties \"price=12 shop=7\"",
                "An expression of one's own"),
        ]
    ) { invocation in
        let expression = invocation.arguments.first ?? "a > 5 AND region IN ('EU','US')"
        let result: FilterBenchmark
        do {
            result = try FilterBenchmark.run(
                expression: expression, properties: invocation.optionalText("properties").map { [$0] } ?? [],
                messages: invocation.integer("count"))
        } catch {
            throw CommandFailure(.usage, "the expression cannot be used: \(error)")
        }
        var table = OutputTable([
            "expression", "messages", "passed", "propertyBytes", "compileNanoseconds", "nanosecondsPerMessage",
        ])
        table.append([
            .text(expression), .integer(Int64(result.messages)), .integer(Int64(result.matches)),
            .integer(Int64(result.propertyBytes)),
            .integer(result.compilation.components.attoseconds / 1_000_000_000),
            .number((result.nanosecondsPerMessage * 10).rounded() / 10),
        ])
        invocation.print(table)
        return .success
    }
}
