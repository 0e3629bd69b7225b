/// The table of rooms, read from the text of Package.swift.
struct RoomTable {
    struct Row: Equatable {
        var layer: Int
        var name: String
        /// Folder below the root.
        var path: String
        var imports: [String]
    }
    var rows: [Row]

    static let package = RoomTable(Repository.text("Package.swift"))

    init(_ text: String) {
        rows = []
        guard let start = text.firstRange(of: "let rooms: [Room] = ["),
            let end = text[start.upperBound...].firstRange(of: "\n]")
        else { return }
        // Both parts are literals without parentheses inside, so the next `)` ends a row.
        for part in text[start.upperBound..<end.lowerBound].split(separator: "Room(").dropFirst() {
            guard let row = Self.row(part.prefix { $0 != ")" }) else { continue }
            rows.append(row)
        }
        rows += Self.executables(text)
    }

    private static func row(_ text: Substring) -> Row? {
        let words = quoted(text)
        guard let comma = text.firstIndex(of: ","), let layer = Int(text[..<comma].filter(\.isNumber)),
            let name = words.first
        else { return nil }
        let hasPath = text.contains("path:")
        return Row(
            layer: layer, name: name, path: "Sources/" + (hasPath ? words[1] : name),
            imports: Array(words.dropFirst(hasPath ? 2 : 1)))
    }

    /// The programs themselves, above every room.
    private static func executables(_ text: String) -> [Row] {
        text.split(separator: "executableTarget(").dropFirst().compactMap { part in
            guard let end = part.firstRange(of: "swiftSettings") else { return nil }
            let part = part[..<end.lowerBound]
            guard let name = quoted(part).first, let opening = part.firstIndex(of: "["),
                let closing = part.firstIndex(of: "]")
            else { return nil }
            return Row(layer: 10, name: name, path: "Sources/" + name, imports: quoted(part[opening..<closing]))
        }
    }

    /// What stands between quotation marks.
    private static func quoted(_ text: Substring) -> [String] {
        let parts = text.split(separator: "\"", omittingEmptySubsequences: false)
        return stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) }
    }

    func row(named name: String) -> Row? { rows.first { $0.name == name } }

    /// The row whose folder holds the file; the longest folder wins.
    func row(holding path: String) -> Row? {
        rows.filter { path.hasPrefix($0.path + "/") }.max { $0.path.count < $1.path.count }
    }
}
