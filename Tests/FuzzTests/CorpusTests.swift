import Foundation
import Testing

/// Every input that is kept, once through its target: without a fuzzer, in any build.
@Suite("Fuzz: the corpus")
struct CorpusTests {
    static let names = FuzzTarget.all().map(\.name).filter { $0 != "control" }
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Fuzz/corpus")

    @Test("Fuzz: nothing in the corpus traps", arguments: names)
    func corpus(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let folder = Self.folder.appending(path: name)
        if ProcessInfo.processInfo.environment["APUS_FUZZ_WRITE_SEEDS"] != nil {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for (number, seed) in target.seeds.enumerated() {
                try Data(seed).write(to: folder.appending(path: "seed-\(number)"))
            }
        }
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(!files.isEmpty)
        for file in files { target.run(Array(try Data(contentsOf: file))) }
    }

    @Test("Fuzz: the corpus has a folder for every target and none besides, and is small")
    func folders() throws {
        let found = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(found) == Set(Self.names))
        let files = try #require(FileManager.default.subpaths(atPath: Self.folder.path))
        let sizes = try files.map { path in
            try Self.folder.appending(path: path).resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
        }
        #expect(sizes.reduce(0, +) < 1 << 20)
    }
}
