import Base
import Bytes
import Glibc
import Testing

@testable import Runtime

/// Runs `body`, and then a new loop until something stops it.
func onLoop(deadlineSeconds: Int64 = 30, _ body: (EventLoop) throws -> Void) throws {
    let loop = try EventLoop()
    var isLate = false
    loop.schedule(afterMilliseconds: deadlineSeconds * 1000) {
        isLate = true
        loop.stop()
    }
    try body(loop)
    loop.run()
    #expect(!isLate, "nothing stopped the loop in time")
}

/// A handler made of closures, for frames of a 32-bit length and as many bytes.
final class Frames: ConnectionHandler {
    var onFrame: (_ frame: [UInt8], Connection) -> Void = { _, _ in }
    var onDrained: (Connection) -> Void = { _ in }
    var onClosed: (CloseReason) -> Void = { _ in }
    /// Leaves frames where they are while the connection is congested, as a good handler does.
    var heedsCongestion = true
    var closings = 0

    init(_ onFrame: @escaping (_ frame: [UInt8], Connection) -> Void = { _, _ in }) { self.onFrame = onFrame }

    static func echo() -> Frames {
        Frames { frame, connection in send(frame, on: connection) }
    }

    func received(_ input: ByteBuffer, on connection: Connection) {
        while input.count >= 4, connection.isOpen, !heeds(connection) {
            let size = Int(input.bytes.bigEndian(at: 0, as: UInt32.self)) + 4
            guard input.count >= size else { return connection.expect(bytes: size) }
            let frame = input.bytes.extracting(4..<size).array()
            input.consume(size)
            onFrame(frame, connection)
        }
    }

    private func heeds(_ connection: Connection) -> Bool {
        heedsCongestion && connection.isCongested && !connection.options.readsWhileCongested
    }

    func drained(_ connection: Connection) { onDrained(connection) }

    func closed(_ connection: Connection, reason: CloseReason) {
        closings += 1
        onClosed(reason)
    }
}

func send(_ payload: [UInt8], on connection: Connection) {
    connection.output.append(bigEndian: UInt32(payload.count))
    connection.output.append(payload)
    connection.outputAdded()
}

func framed(_ payloads: [[UInt8]]) -> [UInt8] {
    let buffer = ByteBuffer()
    for payload in payloads {
        buffer.append(bigEndian: UInt32(payload.count))
        buffer.append(payload)
    }
    return buffer.bytes.array()
}

/// Bytes that repeat only after 251.
func pattern(_ size: Int) -> [UInt8] { (0..<size).map { UInt8($0 % 251) } }

extension EventLoop {
    func listenOnLoopback(
        maximumConnections: Int = 1000, options: ConnectionOptions = ConnectionOptions(),
        accept: @escaping Listener.Accept
    ) throws -> Listener {
        try listen(
            host: "127.0.0.1", port: 0, maximumConnections: maximumConnections, options: options, accept: accept)
    }

    /// Connects to a port of this machine; a failure is a failure of the test.
    func connectToLoopback(
        _ port: Int, options: ConnectionOptions = .client, _ handler: Frames,
        then: @escaping (Connection) -> Void = { _ in }
    ) {
        connect(host: "127.0.0.1", port: port, options: options) { connection in
            then(connection)
            return handler
        } failed: {
            Issue.record("\($0)")
            self.stop()
        }
    }
}

/// A folder for one test, removed with everything in it.
func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
    var template = Array("/tmp/apus-runtime-XXXXXX".utf8CString)
    let path = try #require(mkdtemp(&template)).withMemoryRebound(to: CChar.self, capacity: template.count) {
        String(cString: $0)
    }
    defer { removeTree(path) }
    return try body(path)
}

private func removeTree(_ path: String) {
    if let directory = opendir(path) {
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { removeTree(path + "/" + name) }
        }
        closedir(directory)
    }
    remove(path)
}
