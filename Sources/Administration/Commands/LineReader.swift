import Glibc

/// Lines of a file or of standard input, byte for byte: only the line feeds between them are taken away. What stands behind
/// the last line feed is a line too, unless it is empty.
final class LineReader {
    private let descriptor: Int32
    private let name: String
    private var buffer: [UInt8] = []
    private var position = 0
    private var isAtEnd = false
    /// Number of the line that ``next()`` returned last, from 1.
    private(set) var lineNumber = 0

    /// - Parameter path: `-` is standard input.
    init(path: String) throws(CommandFailure) {
        name = path == "-" ? "standard input" : path
        descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure(.usage, "\(path) cannot be read: \(String(cString: strerror(errno)))")
        }
    }

    deinit { if descriptor > STDIN_FILENO { close(descriptor) } }

    /// The next line, or nil at the end.
    func next() throws(CommandFailure) -> [UInt8]? {
        var searched = position
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                lineNumber += 1
                return Array(buffer[position..<end])
            }
            if isAtEnd {
                defer { position = buffer.count }
                guard position < buffer.count else { return nil }
                lineNumber += 1
                return Array(buffer[position...])
            }
            searched = buffer.count - position
            buffer.removeSubrange(..<position)
            position = 0
            try fill()
        }
    }

    private func fill() throws(CommandFailure) {
        let chunk = 64 * 1024
        let count = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: chunk))
        var received: Int
        repeat {
            received = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress.map { $0 + count }, chunk) }
        } while received < 0 && errno == EINTR
        let reason = errno
        buffer.removeLast(chunk - max(0, received))
        guard received >= 0 else {
            throw CommandFailure(.failure, "\(name) cannot be read: \(String(cString: strerror(reason)))")
        }
        isAtEnd = received == 0
    }
}
