/// Rows under named columns: what most commands answer. One value, three pure renderings.
public struct OutputTable: Sendable, Equatable {
    public enum Cell: Sendable, Equatable {
        case text(String)
        case integer(Int64)
        case number(Double)
        case boolean(Bool)
        /// Nothing is known: an empty cell, `null` in JSON.
        case absent
    }

    /// Names in lower camel case: they are the keys of the JSON and the header of the CSV, and so do not change.
    public var columns: [String]
    public private(set) var rows: [[Cell]]

    public init(_ columns: [String], _ rows: [[Cell]] = []) {
        self.columns = columns
        self.rows = []
        for row in rows { append(row) }
    }

    public mutating func append(_ row: [Cell]) {
        precondition(row.count == columns.count, "a row of \(row.count) cells in a table of \(columns.count) columns")
        rows.append(row)
    }

    public func rendered(as format: OutputFormat, style: TextStyle = .plain) -> String {
        switch format {
        case .table: table(style)
        case .json: json
        case .csv: csv
        }
    }

    // MARK: - Table

    /// Aligned columns under a header; numbers to the right. Control characters are shown as escapes, so that a name from
    /// outside cannot move the cursor.
    private func table(_ style: TextStyle) -> String {
        let header = columns.map(Self.heading)
        let texts = rows.map { $0.map(\.text) }
        let widths = columns.indices.map { index in
            ([header[index]] + texts.map { $0[index] }).map(\.count).max() ?? 0
        }
        func line(_ cells: [String], rightAligned: (Int) -> Bool) -> String {
            let padded = cells.enumerated().map { index, cell in
                let gap = String(repeating: " ", count: widths[index] - cell.count)
                return rightAligned(index) ? gap + cell : cell + gap
            }
            var joined = padded.joined(separator: "  ")
            while joined.last == " " { joined.removeLast() }
            return joined
        }
        let isNumeric = columns.indices.map { index in
            !rows.isEmpty && rows.allSatisfy { $0[index].isNumeric || $0[index] == .absent }
        }
        let lines = texts.map { line($0) { isNumeric[$0] } }
        return ([style.bold(line(header) { isNumeric[$0] })] + lines).joined(separator: "\n") + "\n"
    }

    /// `readQueues` is shown as `READ QUEUES`, `clientCPUPerMessage` as `CLIENT CPU PER MESSAGE`.
    static func heading(_ column: String) -> String {
        let letters = Array(column)
        return letters.indices.reduce(into: "") { heading, index in
            let follows = index + 1 < letters.count ? letters[index + 1] : nil
            let begins =
                letters[index].isUppercase && index > 0
                && (!letters[index - 1].isUppercase || follows?.isLowercase == true)
            heading += (begins ? " " : "") + letters[index].uppercased()
        }
    }

    // MARK: - JSON and CSV

    /// An array with one object a row, keys in the order of the columns.
    private var json: String {
        let objects = rows.map { row in
            let fields = zip(columns, row).map { "\(JSONText.string($0)): \($1.json)" }
            return "  {" + fields.joined(separator: ", ") + "}"
        }
        return objects.isEmpty ? "[]\n" : "[\n" + objects.joined(separator: ",\n") + "\n]\n"
    }

    /// RFC 4180 with a header, but line feeds alone, which every reader takes.
    private var csv: String {
        let lines = [columns.map(Self.quoted)] + rows.map { $0.map { Self.quoted($0.plain) } }
        return lines.map { $0.joined(separator: ",") + "\n" }.joined()
    }

    private static func quoted(_ text: String) -> String {
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}

public enum OutputFormat: String, Sendable, CaseIterable {
    case table, json, csv
}

extension OutputTable.Cell {
    fileprivate var isNumeric: Bool {
        switch self {
        case .integer, .number: true
        case .text, .boolean, .absent: false
        }
    }

    /// The value without any quoting.
    fileprivate var plain: String {
        switch self {
        case .text(let value): value
        case .integer(let value): String(value)
        case .number(let value): String(value)
        case .boolean(let value): value ? "true" : "false"
        case .absent: ""
        }
    }

    fileprivate var text: String {
        plain.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? $0.escaped(asASCII: true) : String($0) }
            .joined()
    }

    /// The value as JSON spells it.
    var json: String {
        switch self {
        case .text(let value): JSONText.string(value)
        // JSON has no word for infinity and not-a-number.
        case .number(let value) where !value.isFinite: "null"
        case .absent: "null"
        case .integer, .number, .boolean: plain
        }
    }
}

/// Text as JSON spells it (RFC 8259).
public enum JSONText {
    public static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
