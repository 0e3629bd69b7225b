import Foundation

extension String {
    /// A file below `Tests/Fixtures`.
    init(contentsOfFixture path: String) throws {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        try self.init(contentsOf: tests.appendingPathComponent("Fixtures/" + path), encoding: .utf8)
    }
}
