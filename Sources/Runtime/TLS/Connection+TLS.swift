import Base
import Bytes
import CLibuv
import Glibc
import Telemetry

/// A connection's TLS, from the wait for the first byte on.
///
///     first byte 0x16 ──► waiting ──► handshake ──► established
///        │ another           if others had their share
///        └──► plain: `Connection.isPlain`, and nothing of this is left
struct ConnectionTLS {
    /// Who decides, at a listener's connection.
    var server: TLSServer?
    /// Nil until the first byte has come.
    var filter: TLSFilter?
    /// The server counts its handshake among those that have not ended.
    var isCounted = false
    /// The handshake waits for its turn; what the client sent lies in the connection's input, and no more is read.
    var isWaiting = false
    /// When the handshake must be over; nil when it is, and while a plain client may still be waited for.
    var deadline: MonotonicTime?
    /// Records that wait to be written.
    var records: ByteBuffer?
    /// Told how the handshake of a client ended: nil, or why it failed.
    var handshakeEnded: ((String?) -> Void)?
}

/// TLS between the socket and the handler. Records are read into a buffer of the loop and decrypted at once, as far as they are
/// whole, so that everything behind them, pauses and congestion included, is as on a plain connection; output is encrypted
/// when it leaves, a piece at a time.
extension Connection {
    /// Bytes of output that are encrypted at once: a bound for what is held twice.
    private static let pieceSize = 256 * 1024

    // MARK: - Beginning

    /// Of a connection that a listener took.
    func awaitFirstByte(_ server: TLSServer) {
        isPlain = false
        tls = ConnectionTLS(server: server)
        if server.mode == .enforcing { setDeadline(server.handshakeMilliseconds) }
    }

    private func setDeadline(_ milliseconds: Int64) {
        tls?.deadline = loop.turnClock.monotonic.advanced(byMilliseconds: milliseconds)
    }

    /// Opens a connected socket and begins a client's handshake. Its deadline is the caller's.
    func beginTLS(_ context: TLSContext, host: String, _ ended: @escaping (String?) -> Void) {
        let filter: TLSFilter
        do throws(TLSError) {
            filter = try TLSFilter(context, loop.wire, host: host)
        } catch {
            discard()
            return ended(error.description)
        }
        isPlain = false
        tls = ConnectionTLS(filter: filter, handshakeEnded: ended)
        guard open(listener: nil, { _ in HandshakeHandler() }) else { return ended("the connection is gone") }
        do throws(TLSError) { try filter.begin() } catch { return endHandshake(error.description, .abort) }
        takeRecords()
    }

    /// Gives a client's connection to its handler, after the handshake.
    func takeOver(_ choose: (Connection) -> (any ConnectionHandler)?) {
        guard isOpen else { return }
        guard let chosen = choose(self) else { return close("unwanted", .afterFlush) }
        handler = chosen
    }

    // MARK: - Reading

    /// What `Connection.didRead` does on a connection that is not plain.
    func didReadGuarded(_ result: Int) {
        guard let filter = tls?.filter else { return didReadFirst(result) }
        let records = loop.records
        guard result > 0 else {
            records.removeAll()
            if result < 0 { ended(Int32(truncatingIfNeeded: result)) }
            return
        }
        records.appendUninitialized(result) { _ in result }
        noteTraffic(result)
        decrypt(records, filter)
    }

    private func noteTraffic(_ size: Int) {
        loop.counters.bytesReceived += size
        lastTraffic = loop.turnClock.turnStart
    }

    private func didReadFirst(_ result: Int) {
        let buffer = loop.readBuffer
        guard result > 0 else {
            buffer.removeAll()
            if result < 0 { ended(Int32(truncatingIfNeeded: result)) }
            return
        }
        buffer.appendUninitialized(result) { _ in result }
        noteTraffic(result)
        switch tls?.server?.judge(buffer.bytes.byte(at: 0), of: peer, loop.peers) {
        case .plain, nil:
            isPlain = true
            tls = nil
            if gathering != nil { markDirty() }
            deliver(buffer)
            resumeReadingIfAllowed()
        case .tls(let context): beginHandshake(context, buffer)
        case .refused(let reason):
            buffer.removeAll()
            tls?.server?.refusedConnection(peer, reason, at: loop.turnClock.monotonic)
            close(reason, .abort)
        }
    }

    private func beginHandshake(_ context: TLSContext, _ first: ByteBuffer) {
        guard let server = tls?.server else { return }
        server.handshakeBegan(self)
        tls?.isCounted = true
        setDeadline(server.handshakeMilliseconds)
        guard !server.mayBegin(on: loop) else { return acceptTLS(context, first) }
        tls?.isWaiting = true
        keep(first)
        account()
        pauseReading()
        server.wait(self)
    }

    /// The turn of this connection has come.
    func beginWaitingHandshake() {
        guard isOpen, tls?.isWaiting == true, let context = tls?.server?.context, let first = input else { return }
        tls?.isWaiting = false
        guard !isPeerGone else { return close(.peerClosed, .abort) }
        input = nil
        isPaused = false
        acceptTLS(context, first)
        loop.buffers.recycle(first)
        account()
    }

    /// Whether the peer has closed, which nobody noticed while nothing was read: a handshake would be work for nothing.
    private var isPeerGone: Bool {
        var descriptor: Int32 = -1
        guard uv_fileno(handle(socket), &descriptor) == 0 else { return true }
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count == 0 || count < 0 && errno != EAGAIN
    }

    private func acceptTLS(_ context: TLSContext, _ first: ByteBuffer) {
        let begin = loop.turnClock.available
        guard let filter = try? TLSFilter(context, loop.wire) else {
            first.removeAll()
            return close("no memory for TLS", .abort)
        }
        tls?.server?.charge(since: begin, on: loop)
        tls?.filter = filter
        // The content goes to the buffer that these records are in.
        let records = loop.records
        records.append(first.bytes)
        first.removeAll()
        decrypt(records, filter)
    }

    /// Shows the handler what the records hold.
    private func decrypt(_ records: ByteBuffer, _ filter: TLSFilter) {
        let wasEstablished = filter.isEstablished
        let begin = wasEstablished || tls?.server == nil ? nil : loop.turnClock.available
        let content = bufferForContent()
        let before = content.count
        var isMoreComing = true
        var failure: TLSError?
        records.withUnsafeBytes { bytes in
            do throws(TLSError) { isMoreComing = try filter.receive(bytes, into: content) } catch { failure = error }
        }
        records.removeAll()
        takeRecords()
        if let begin { tls?.server?.charge(since: begin, on: loop) }
        if !wasEstablished, filter.isEstablished { endHandshake(nil) }
        if content.count > before, isOpen { deliver(content) } else { keep(content) }
        if let failure {
            recordsFailed(failure.description)
        } else if !isMoreComing {
            close(.peerClosed, .afterFlush)
        } else {
            resumeReadingIfAllowed()
        }
    }

    // MARK: - The handshake's end

    /// The handshake is over. After a failure the connection closes, behind the alert that tells the peer why, if there is one.
    /// Whoever began a client's handshake hears of it, once.
    func endHandshake(_ failure: String?, _ mode: CloseMode = .afterFlush) {
        let ended = tls?.handshakeEnded
        tls?.handshakeEnded = nil
        tls?.deadline = nil
        if let failure {
            tls?.server?.complain("TLS handshake failed", peer, failure, loop.turnClock.monotonic)
            close(.broken("TLS: " + failure), mode)
        } else {
            tls?.server?.handshakeEnded(self, established: true)
            tls?.isCounted = false
            loop.log.debug("TLS", ["peer": "\(peer)", "version": tls?.filter?.version ?? ""])
            if gathering != nil { markDirty() }
        }
        ended?(failure)
    }

    /// Whether the time for the handshake is over.
    func isHandshakeOverdue(_ now: MonotonicTime) -> Bool { tls?.deadline.map { $0 <= now } ?? false }

    private func recordsFailed(_ reason: String) {
        guard tls?.filter?.isEstablished == true else { return endHandshake(reason, .afterFlush) }
        tls?.server?.complain("TLS connection broken", peer, reason, loop.turnClock.monotonic)
        close(.broken("TLS: " + reason), .afterFlush)
    }

    /// The socket closes.
    func endTLS() {
        guard let tls else { return }
        if tls.isCounted { tls.server?.handshakeEnded(self, established: false) }
        if let records = tls.records { loop.buffers.recycle(records) }
        self.tls = nil
        tls.handshakeEnded?("the connection ended during the handshake")
    }

    // MARK: - Writing

    /// Takes what a filter has written.
    private func takeRecords() {
        guard loop.wire.hasOutput else { return }
        guard !isClosed else { return loop.wire.takeOutput(into: loop.discarded) }
        let records = tls?.records ?? loop.buffers.takeLarge()
        loop.wire.takeOutput(into: records)
        tls?.records = records
        markDirty()
    }

    /// Writes what must leave, as far as the peer takes it.
    func writeRecords() {
        while writing == nil, !isClosed, let filter = tls?.filter {
            if tls?.records == nil, !encryptNext(filter) { return }
            guard let records = tls?.records else { return }
            tls?.records = nil
            write(records)
        }
    }

    /// - Returns: whether there are records to write.
    private func encryptNext(_ filter: TLSFilter) -> Bool {
        guard filter.isEstablished else { return false }
        if let output = gathering, !output.isEmpty {
            do throws(TLSError) {
                try filter.send(Self.pieceSize, of: output)
            } catch {
                close(.broken("TLS: \(error)"), .abort)
                return false
            }
            if output.isEmpty {
                loop.buffers.recycle(output)
                gathering = nil
            }
        } else if owesGoodbye {
            filter.sayGoodbye()
        }
        takeRecords()
        return tls?.records != nil
    }

    /// Whether the peer must still be told that nothing follows: without, it could not tell the end from a cut wire.
    var owesGoodbye: Bool {
        guard let filter = tls?.filter, state == .flushing else { return false }
        return filter.isEstablished && !filter.hasSaidGoodbye
    }

    /// Output of a connection that closes before anybody may read it.
    func forgetWhatCannotLeave() {
        guard tls?.filter?.isEstablished != true, let gathering else { return }
        loop.buffers.recycle(gathering)
        self.gathering = nil
    }
}

/// Holds the place of a client's handler during the handshake.
private final class HandshakeHandler: ConnectionHandler {
    func received(_ input: ByteBuffer, on connection: Connection) {}
    func drained(_ connection: Connection) {}
    func closed(_ connection: Connection, reason: CloseReason) {}
}
