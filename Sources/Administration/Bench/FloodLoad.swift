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
        /// TLS handshakes, many at a time, each left as soon as the server has done its part.
        case handshakes
    }

    struct Result: Equatable, Sendable {
        var connections = 0
        /// Connections that could not be opened, or were closed before anything was sent.
        var refused = 0
        var bytes = 0
        /// Of ``Kind/handshakes``: those that the server has done its part of.
        var answered = 0
    }

    var kind: Kind
    var port: UInt16
    /// Connections a second; nil is as many as there can be.
    var rate: Int?
    var seconds: Double
    /// The address of loopback that the flood comes from, so that it can be told from other clients.
    var source: UInt32 = 0x7F00_0002

    /// Handshakes under way at a time, fewer than a server takes from one address.
    private static let handshakesAtOnce = 200

    /// Opens one connection after the other, and of handshakes many. Takes the calling thread.
    func run() -> Result {
        var result = Result()
        let begin = Self.now()
        let content = content()
        var open: [pollfd] = []
        defer { for descriptor in open { close(descriptor.fd) } }
        while Self.now() - begin < seconds {
            if let rate {
                let due = begin + Double(result.connections + result.refused) / Double(rate)
                let wait = due - Self.now()
                if wait > 0 { poll(nil, 0, Int32((min(wait, seconds) * 1_000).rounded(.up))) }
            }
            guard kind == .handshakes else {
                once(content, &result)
                continue
            }
            if let socket = beginHandshake(content, &result) {
                open.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0))
            }
            let isFull = open.count >= Self.handshakesAtOnce
            leaveAnswered(&open, waitMilliseconds: isFull ? 100 : 0, &result)
        }
        return result
    }

    private func beginHandshake(_ hello: [UInt8], _ result: inout Result) -> Int32? {
        guard let socket = connected(&result) else { return nil }
        let sent = hello.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent > 0 { result.bytes += sent }
        return socket
    }

    /// Closes the connections on which the server has said something, or which it has closed.
    private func leaveAnswered(_ open: inout [pollfd], waitMilliseconds: Int32, _ result: inout Result) {
        guard poll(&open, nfds_t(open.count), waitMilliseconds) > 0 else { return }
        for descriptor in open where descriptor.revents != 0 {
            var byte: UInt8 = 0
            // An alert, or nothing, is no answer: the first byte of one is 0x16.
            if recv(descriptor.fd, &byte, 1, Int32(MSG_DONTWAIT)) == 1, byte == 0x16 { result.answered += 1 }
            close(descriptor.fd)
        }
        open.removeAll { $0.revents != 0 }
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// A connected socket; nil when there is none.
    private func connected(_ result: inout Result) -> Int32? {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { return nil }
        // Without it the ports of closed connections would be used up within seconds.
        var reset = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        guard connect(socket) else {
            result.refused += 1
            close(socket)
            return nil
        }
        result.connections += 1
        return socket
    }

    private func once(_ content: [UInt8], _ result: inout Result) {
        guard let socket = connected(&result) else { return }
        defer { close(socket) }
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
        case .handshakes: return Self.clientHello()
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

    /// The first record of a client that speaks TLS 1.3 (RFC 8446 §4.1.2), with a key share that makes the server agree on a
    /// key and sign at once. Any 32 bytes are a public key of X25519, so it costs the client nothing.
    private static func clientHello() -> [UInt8] {
        let random = SeededRandom(seed: 2)
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
        func sized(_ width: Int, _ content: [UInt8]) -> [UInt8] {
            (0..<width).reversed().map { UInt8(truncatingIfNeeded: content.count >> (8 * $0)) } + content
        }
        func `extension`(_ type: UInt8, _ content: [UInt8]) -> [UInt8] { [0, type] + sized(2, content) }
        let extensions =
            // supported_groups: X25519, P-256
            `extension`(10, sized(2, [0x00, 0x1D, 0x00, 0x17]))
            // signature_algorithms: ECDSA with P-256, RSA-PSS, RSA
            + `extension`(13, sized(2, [0x04, 0x03, 0x08, 0x04, 0x04, 0x01]))
            // supported_versions: TLS 1.3
            + `extension`(43, sized(1, [0x03, 0x04]))
            // key_share
            + `extension`(51, sized(2, [0x00, 0x1D] + sized(2, bytes(32))))
        // version, random, no session, AES-128-GCM and two of TLS 1.2, no compression
        let hello =
            [0x03, 0x03] + bytes(32) + [0] + sized(2, [0x13, 0x01, 0xC0, 0x2B, 0xC0, 0x2F]) + [1, 0]
            + sized(2, extensions)
        return [0x16, 0x03, 0x01] + sized(2, [1] + sized(3, hello))
    }

    static func table(_ result: Result) -> OutputTable {
        var table = OutputTable(["connections", "refused", "bytes", "answered"])
        table.append([
            .integer(Int64(result.connections)), .integer(Int64(result.refused)), .integer(Int64(result.bytes)),
            .integer(Int64(result.answered)),
        ])
        return table
    }
}
