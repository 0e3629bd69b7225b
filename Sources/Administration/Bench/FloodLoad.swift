import Base
import Bytes
import Glibc
import RemotingProtocol

/// Rubbish, as fast as a server takes it: `apus bench flood`. Measures nothing itself; run `bench produce` beside it.
struct FloodLoad: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        /// Bytes that are no frame.
        case garbage
        /// Frames whose header cannot be read.
        case headers
        /// Connections that close at once.
        case connections
        /// Well-formed requests that no server knows, many on each connection.
        case requests
    }

    struct Result: Equatable, Sendable {
        var connections = 0
        /// Connections that could not be opened, or were closed before anything was sent.
        var refused = 0
        var bytes = 0
    }

    var kind: Kind
    var port: UInt16
    /// Connections a second; nil is as many as there can be.
    var rate: Int?
    var seconds: Double
    /// The address of loopback that the flood comes from, so that it can be told from other clients.
    var source: UInt32 = 0x7F00_0002

    /// Opens one connection after the other. Takes the calling thread.
    func run() -> Result {
        var result = Result()
        let begin = Self.now()
        let content = content()
        while Self.now() - begin < seconds {
            if let rate {
                let due = begin + Double(result.connections + result.refused) / Double(rate)
                let wait = due - Self.now()
                if wait > 0 { poll(nil, 0, Int32((min(wait, seconds) * 1_000).rounded(.up))) }
            }
            once(content, &result)
        }
        return result
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func once(_ content: [UInt8], _ result: inout Result) {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        // Without it the ports of closed connections would be used up within seconds.
        var reset = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        guard connect(socket) else {
            result.refused += 1
            return
        }
        result.connections += 1
        guard !content.isEmpty else { return }
        let sent = content.withUnsafeBytes {
            Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if sent > 0 { result.bytes += sent }
        // Until the server closes.
        var answer = [UInt8](repeating: 0, count: 65_536)
        var received = 0
        while true {
            let count = recv(socket, &answer, answer.count, 0)
            guard count > 0 else { break }
            received += count
            if kind == .requests, received >= content.count / 2 { break }
        }
    }

    private func connect(_ socket: Int32) -> Bool {
        func address(_ ip: UInt32, _ port: UInt16) -> sockaddr_in {
            sockaddr_in(
                sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian, sin_addr: in_addr(s_addr: ip.bigEndian),
                sin_zero: (0, 0, 0, 0, 0, 0, 0, 0))
        }
        func call(_ value: sockaddr_in, _ body: (UnsafePointer<sockaddr>) -> Int32) -> Int32 {
            var value = value
            return withUnsafePointer(to: &value) { pointer in
                // SAFETY: every address starts with the fields of sockaddr; C code casts in the same way.
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
            }
        }
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard call(address(source, 0), { bind(socket, $0, size) }) == 0 else { return false }
        return call(address(0x7F00_0001, port), { Glibc.connect(socket, $0, size) }) == 0
    }

    private func content() -> [UInt8] {
        let buffer = ByteBuffer()
        switch kind {
        case .connections: return []
        case .garbage:
            let random = SeededRandom(seed: 1)
            return (0..<1_024).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        case .headers:
            // A whole frame: length 60, header of 56 bytes in JSON, which is none.
            buffer.append(bigEndian: UInt32(60))
            buffer.append(bigEndian: UInt32(56))
            buffer.append([UInt8](repeating: UInt8(ascii: "{"), count: 56))
        case .requests:
            for opaque in 0..<200 {
                var writer = CommandWriter(buffer, encoding: .json)
                writer.begin(request: RequestCode(9_999), opaque: Int32(opaque))
                writer.end()
            }
        }
        return buffer.bytes.array()
    }

    static func table(_ result: Result) -> OutputTable {
        var table = OutputTable(["connections", "refused", "bytes"])
        table.append([
            .integer(Int64(result.connections)), .integer(Int64(result.refused)), .integer(Int64(result.bytes)),
        ])
        return table
    }
}
