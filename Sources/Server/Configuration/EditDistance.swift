/// The fewest insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, whatever their case.
func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.lowercased())
    let b = Array(b.lowercased())
    var rows = [Array(0...b.count)]
    for (i, letter) in a.enumerated() {
        var row = [i + 1]
        for (j, other) in b.enumerated() {
            var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (letter == other ? 0 : 1))
            if i > 0, j > 0, letter == b[j - 1], a[i - 1] == other { best = min(best, rows[i - 1][j - 1] + 1) }
            row.append(best)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}

extension Setting {
    /// The key that `key` was most likely meant to be.
    static func nearestKey(to key: String) -> String {
        all.min { editDistance(key, $0.key) < editDistance(key, $1.key) }?.key ?? ""
    }
}
