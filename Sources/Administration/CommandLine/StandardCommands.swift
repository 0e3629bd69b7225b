/// Commands that need nothing but the table.
public enum StandardCommands {
    /// The version of this build, as `apus version` and the name server's registration print it.
    public static let version = "0.1.0"

    public static let all: [Command] = [completion, versionCommand, reference]

    static let completion = Command(
        "completion", "Print a script that lets your shell complete apus",
        arguments: [CommandArgument("SHELL", "bash, zsh or fish")],
        examples: [CommandExample("eval \"$(apus completion bash)\"", "Complete in this shell")]
    ) { invocation in
        let shell = invocation.arguments[0]
        guard ["bash", "zsh", "fish"].contains(shell) else {
            throw CommandFailure(.usage, "there is no completion for '\(shell)'", advice: "choose bash, zsh or fish")
        }
        Console.print(Completion.script(for: shell, invocation.table))
        return .success
    }

    static let versionCommand = Command(
        "version", "Print the version", options: [.output]
    ) { invocation in
        if invocation.format == .table {
            Console.print("apus \(version)")
        } else {
            invocation.print(OutputTable(["name", "version"], [[.text("apus"), .text(version)]]))
        }
        return .success
    }

    static let reference = Command(
        "reference", "Print docs/reference/cli.md", isHidden: true
    ) { invocation in
        Console.print(CommandReference.markdown(invocation.table))
        return .success
    }
}
