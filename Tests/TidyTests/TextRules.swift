import Foundation

/// Rules about any text of the repository.
enum TextRules {
    // MARK: - Every file

    private static let endings = ["swift", "md", "sh", "py", "h", "c", "modulemap", "yml", "toml"]

    static func isText(_ path: String) -> Bool { endings.contains(String(path.split(separator: ".").last ?? "")) }

    /// No spaces in names: shells and links trip over them.
    static func fileName(_ path: String) -> [Finding] {
        path.contains(" ") ? [Finding(path: path, line: 1, message: "the name has a space; use a hyphen")] : []
    }

    /// No tabs, nothing behind the last word of a line, one line break at the end.
    static func whitespace(_ file: SourceFile) -> [Finding] {
        var findings = file.lines.enumerated().compactMap { index, line -> Finding? in
            if line.contains("\t") { return Finding(path: file.path, line: index + 1, message: "a tab; use spaces") }
            if line.last == " " || line.last == "\r" {
                return Finding(
                    path: file.path, line: index + 1, message: "white space at the end of the line; remove it")
            }
            return nil
        }
        if !file.text.isEmpty, !file.text.hasSuffix("\n") || file.text.hasSuffix("\n\n") {
            findings.append(
                Finding(path: file.path, line: file.lines.count, message: "the file must end with one line break"))
        }
        return findings
    }

    // MARK: - Markdown

    /// Lines outside fenced code, with their numbers.
    static func proseLines(_ file: SourceFile) -> [(number: Int, text: String)] {
        var isCode = false
        return file.lines.enumerated().compactMap { index, line in
            if line.drop(while: { $0 == " " }).hasPrefix("```") {
                isCode.toggle()
                return nil
            }
            return isCode ? nil : (index + 1, line)
        }
    }

    /// One title, on the first line.
    static func title(_ file: SourceFile) -> [Finding] {
        let titles = proseLines(file).filter { $0.text.hasPrefix("# ") }
        if titles.count == 1, titles[0].number == 1 { return [] }
        return [
            Finding(
                path: file.path, line: titles.last?.number ?? 1,
                message: "\(titles.count) titles ('# …'); there must be one, on the first line")
        ]
    }

    /// Relative links lead to something that is there.
    /// - Parameter exists: whether a path below the root is.
    static func links(_ file: SourceFile, exists: (String) -> Bool) -> [Finding] {
        let folder = file.path.split(separator: "/").dropLast().map(String.init)
        return proseLines(file).flatMap { number, line in
            targets(line).compactMap { target -> Finding? in
                let path = String(target.prefix { $0 != "#" })
                guard !path.isEmpty, !target.contains("://"), !target.hasPrefix("mailto:") else { return nil }
                let resolved = resolve(path, in: folder)
                if let resolved, exists(resolved) { return nil }
                return Finding(path: file.path, line: number, message: "the link to \(target) leads nowhere")
            }
        }
    }

    /// What stands in `](…)`, outside code spans.
    static func targets(_ line: String) -> [String] {
        let parts = line.split(separator: "`", omittingEmptySubsequences: false)
        let prose = stride(from: 0, to: parts.count, by: 2).map { String(parts[$0]) }.joined(separator: "`")
        return prose.split(separator: "](", omittingEmptySubsequences: false).dropFirst().map { part in
            String(part.prefix { $0 != ")" && $0 != " " })
        }
    }

    private static func resolve(_ path: String, in folder: [String]) -> String? {
        var parts = path.hasPrefix("/") ? [] : folder
        for part in path.split(separator: "/") where part != "." {
            if part != ".." {
                parts.append(String(part))
            } else if parts.popLast() == nil {
                return nil
            }
        }
        return parts.joined(separator: "/")
    }

    /// The first chapter of the changelog is for what is not released yet.
    static func changelog(_ text: String) -> [Finding] {
        let chapter = text.split(separator: "\n").first { $0.hasPrefix("## ") }
        return chapter == "## Unreleased"
            ? [] : [Finding(path: "CHANGELOG.md", line: 1, message: "the first chapter must be '## Unreleased'")]
    }

    /// A room's DocC page begins with its name and is short.
    static func docPage(_ room: String, _ text: String?) -> [String] {
        guard let text else { return ["\(room) has no DocC page"] }
        let lines = text.split(separator: "\n")
        guard lines.first == "# ``\(room)``" else { return ["the page of \(room) must begin with '# ``\(room)``'"] }
        return lines.count > 25 ? ["the page of \(room) has \(lines.count) lines; ten say enough"] : []
    }
}
