import Foundation
import Simulation
import Testing

/// A store directory that RocketMQ 4.9.8 wrote, unpacked into a temporary folder once for all tests of a run.
struct RocketMQFixture: Sendable {
    /// The folder with `store`, `manifest.json` and so on.
    let folder: URL

    static let small = RocketMQFixture("store-small")
    static let crash = RocketMQFixture("store-crash")

    /// Removed when the test process ends.
    private static let temporary: URL = {
        let folder = FileManager.default.temporaryDirectory.appending(path: "apus-fixtures-\(UUID().uuidString)")
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(at: RocketMQFixture.temporary) }
        return folder
    }()

    private init(_ name: String) {
        let archive = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../Fixtures/Disk/rocketmq-4.9.8/\(name).tar.zst")
        let unpack = Process()
        unpack.executableURL = URL(filePath: "/bin/sh")
        unpack.arguments = ["-c", "zstd -dc \"$0\" | tar -xSf - -C \"$1\"", archive.path, Self.temporary.path]
        try? unpack.run()
        unpack.waitUntilExit()
        precondition(unpack.terminationStatus == 0, "\(name) was not unpacked; are zstd and tar installed?")
        folder = Self.temporary.appending(path: name)
    }

    func json(_ name: String) throws -> [String: Any] {
        let data = try Data(contentsOf: folder.appending(path: name))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    /// Puts the files of a part of the store on a simulated disk, under the same paths.
    func install(_ part: String, on disk: SimulatedDisk) throws {
        let root = folder.appending(path: part)
        let paths = try #require(FileManager.default.subpaths(atPath: root.path))
        for path in paths {
            let url = root.appending(path: path)
            guard try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { continue }
            disk.install("\(part)/\(path)", Array(try Data(contentsOf: url)))
        }
    }
}
