/// Rows that are printed as they come, in the forms of ``OutputTable``: the header once, and of JSON one array.
struct RowStream {
    let columns: [String]
    let format: OutputFormat
    let style: TextStyle
    /// JSON as one object a line without the array around them, for streams that never end.
    let isEndless: Bool
    private var isStarted = false

    init(_ columns: [String], as format: OutputFormat, style: TextStyle = .plain, isEndless: Bool = false) {
        self.columns = columns
        self.format = format
        self.style = style
        self.isEndless = isEndless
    }

    /// The text for further rows, with what must stand before them.
    mutating func text(_ rows: [[OutputTable.Cell]]) -> String {
        guard !rows.isEmpty else { return "" }
        defer { isStarted = true }
        let whole = OutputTable(columns, rows).rendered(as: format, style: style)
        switch format {
        case .table, .csv: return isStarted ? Self.withoutFirstLine(whole) : whole
        case .json:
            let objects = whole.dropFirst("[\n".count).dropLast("\n]\n".count)
            // Line breaks in texts are escaped, so that each line is an object, with a comma behind all but the last.
            if isEndless { return objects.dropFirst(2).replacing(",\n  ", with: "\n") + "\n" }
            return (isStarted ? ",\n" : "[\n") + objects
        }
    }

    /// What must stand behind the last row.
    mutating func end() -> String {
        defer { isStarted = true }
        guard format == .json, !isEndless else {
            return isStarted || isEndless ? "" : OutputTable(columns).rendered(as: format, style: style)
        }
        return isStarted ? "\n]\n" : "[]\n"
    }

    private static func withoutFirstLine(_ text: String) -> String {
        text.firstIndex(of: "\n").map { String(text[text.index(after: $0)...]) } ?? ""
    }
}
