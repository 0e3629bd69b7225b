/// Scripts that let a shell complete commands, options and fixed values. Made from the table; nothing is asked of a server.
enum Completion {
    static func script(for shell: String, _ table: CommandTable) -> String {
        switch shell {
        case "fish": fish(table)
        case "zsh": zsh(table)
        default: bash(table)
        }
    }

    // MARK: - bash

    /// One `case` over the words so far: for each prefix of a command the words that may follow.
    private static func bash(_ table: CommandTable) -> String {
        """
        # bash completion for apus: eval "$(apus completion bash)"
        _apus() {
            local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[$((COMP_CWORD - 1))]}" path="" word
            for word in "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
                case "$word" in -*) ;; *) [[ " \(paths(table)) " == *" ${path:+${path}_}$word "* ]] && path="${path:+${path}_}$word" ;; esac
            done
            case "$path $previous" in
        \(bashValues(table))
            esac
            case "$path" in
        \(bashWords(table))
            esac
        }
        complete -o default -F _apus apus

        """
    }

    /// Every prefix of a command, words joined by `_`.
    private static func paths(_ table: CommandTable) -> String {
        prefixes(table).map { $0.joined(separator: "_") }.joined(separator: " ")
    }

    private static func prefixes(_ table: CommandTable) -> [[String]] {
        var result: [[String]] = []
        for command in table.visible {
            for length in 1...command.path.count {
                let prefix = Array(command.path.prefix(length))
                if !result.contains(prefix) { result.append(prefix) }
            }
        }
        return result
    }

    private static func bashWords(_ table: CommandTable) -> String {
        var lines = [
            "        \"\") COMPREPLY=($(compgen -W \"\(nextWords(after: [], table).joined(separator: " "))\" -- \"$current\")) ;;"
        ]
        for prefix in prefixes(table) {
            let words = nextWords(after: prefix, table).joined(separator: " ")
            lines.append(
                "        \(prefix.joined(separator: "_"))) COMPREPLY=($(compgen -W \"\(words)\" -- \"$current\")) ;;")
        }
        return lines.joined(separator: "\n")
    }

    private static func bashValues(_ table: CommandTable) -> String {
        var lines: [String] = []
        for command in table.visible {
            let path = command.path.joined(separator: "_")
            for option in command.options {
                let pattern = spellings(option).map { "\"\(path) \($0)\"" }.joined(separator: "|")
                switch option.kind {
                case .flag: continue
                case .choice(let names):
                    lines.append(
                        "        \(pattern)) COMPREPLY=($(compgen -W \"\(names.joined(separator: " "))\" -- \"$current\")); return ;;"
                    )
                case .path: lines.append("        \(pattern)) COMPREPLY=(); return ;;")
                case .text, .integer, .size, .duration:
                    lines.append("        \(pattern)) compopt +o default; COMPREPLY=(); return ;;")
                }
            }
        }
        return lines.joined(separator: "\n")
    }

    /// Sub-commands and options that may stand next.
    private static func nextWords(after prefix: [String], _ table: CommandTable) -> [String] {
        var words: [String] = []
        for member in table.members(of: prefix) where !words.contains(member.path[prefix.count]) {
            words.append(member.path[prefix.count])
        }
        if prefix.isEmpty { words.append("help") }
        if let command = table.visible.first(where: { $0.path == prefix }) {
            words += (command.options + CommandOption.common).map { "--" + $0.name }
        }
        return words
    }

    private static func spellings(_ option: CommandOption) -> [String] {
        ["--" + option.name] + (option.short.map { ["-\($0)"] } ?? [])
    }

    // MARK: - zsh

    /// zsh runs bash's completion functions; one generator then serves both.
    private static func zsh(_ table: CommandTable) -> String {
        """
        # zsh completion for apus: eval "$(apus completion zsh)"
        autoload -Uz compinit bashcompinit
        (( $+functions[compdef] )) || compinit
        bashcompinit
        compopt() { true }
        \(bash(table))
        """
    }

    // MARK: - fish

    private static func fish(_ table: CommandTable) -> String {
        var lines = ["# fish completion for apus: apus completion fish | source", "complete -c apus -f"]
        for prefix in [[]] + prefixes(table) {
            let here = fishCondition(prefix, table)
            for member in table.members(of: prefix) {
                let word = member.path[prefix.count]
                let isLeaf = member.path.count == prefix.count + 1
                let summary = isLeaf ? member.summary : table.groups.first { $0.name == word }?.summary ?? ""
                let line = "complete -c apus -n '\(here)' -a \(word) -d \(fishQuoted(summary))"
                if !lines.contains(line) { lines.append(line) }
            }
            guard let command = table.visible.first(where: { $0.path == prefix }) else { continue }
            for option in command.options { lines.append(fishOption(option, here)) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func fishCondition(_ prefix: [String], _ table: CommandTable) -> String {
        guard !prefix.isEmpty else { return "__fish_use_subcommand" }
        let seen = prefix.map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")
        let next = table.members(of: prefix).map { $0.path[prefix.count] }
        return next.isEmpty ? seen : seen + "; and not __fish_seen_subcommand_from " + next.joined(separator: " ")
    }

    private static func fishOption(_ option: CommandOption, _ here: String) -> String {
        var line = "complete -c apus -n '\(here)' -l \(option.name)"
        if let short = option.short { line += " -s \(short)" }
        switch option.kind {
        case .flag: break
        case .choice(let names): line += " -x -a \(fishQuoted(names.joined(separator: " ")))"
        case .path: line += " -r -F"
        case .text, .integer, .size, .duration: line += " -x"
        }
        return line + " -d \(fishQuoted(option.summary))"
    }

    private static func fishQuoted(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }
}
