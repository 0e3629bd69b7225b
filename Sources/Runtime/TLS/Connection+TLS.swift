import Base
import Bytes
import CLibuv
import Telemetry

/// A connection's TLS, from the wait for the first byte on.
///
///     first byte 0x16 ──► handshake ──► established
///        │ another
///        └──► plain: `Connection.isPlain`, and nothing of this is left
struct ConnectionTLS {
    /// Who decides, at a listener's connection.
    var server: TLSServer?
    /// Nil until the first byte has come.
    var filter: TLSFilter?
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
        do throws(TLSError) { try filter.begin() } catch { return handshakeFailed(error.description, .abort) }
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
        switch tls?.server?.judge(buffer.bytes.byte(at: 0)) {
        case .plain, nil:
            isPlain = true
            tls = nil
            if gathering != nil { markDirty() }
            deliver(buffer)
            resumeReadingIfAllowed()
        case .tls(let context): acceptTLS(context, buffer)
        case .refused(let reason):
            buffer.removeAll()
            tls?.server?.refusedConnection(peer, reason, at: loop.turnClock.monotonic)
            close(reason, .abort)
        }
    }

    private func acceptTLS(_ context: TLSContext, _ first: ByteBuffer) {
        guard let server = tls?.server, let filter = try? TLSFilter(context, loop.wire) else {
            first.removeAll()
            return close("no memory for TLS", .abort)
        }
        server.handshakeBegan()
        tls?.filter = filter
        setDeadline(server.handshakeMilliseconds)
        // The content goes to the buffer that these records are in.
        let records = loop.records
        records.append(first.bytes)
        first.removeAll()
        decrypt(records, filter)
    }

    /// Shows the handler what the records hold.
    private func decrypt(_ records: ByteBuffer, _ filter: TLSFilter) {
        let wasEstablished = filter.isEstablished
        let content = bufferForContent()
        let before = content.count
        var isMoreComing = true
        var failure: TLSError?
        records.withUnsafeBytes { bytes in
            do throws(TLSError) { isMoreComing = try filter.receive(bytes, into: content) } catch { failure = error }
        }
        records.removeAll()
        takeRecords()
        if !wasEstablished, filter.isEstablished { established(filter) }
        if content.count > before, isOpen { deliver(content) } else { keep(content) }
        if let failure {
            recordsFailed(failure.description)
        } else if !isMoreComing {
            close(.peerClosed, .afterFlush)
        } else {
            resumeReadingIfAllowed()
        }
    }

    private func established(_ filter: TLSFilter) {
        tls?.deadline = nil
        tls?.server?.handshakeEnded(established: true)
        loop.log.debug("TLS", ["peer": "\(peer)", "version": filter.version])
        if gathering != nil { markDirty() }
        let ended = tls?.handshakeEnded
        tls?.handshakeEnded = nil
        ended?(nil)
    }

    // MARK: - Failing

    /// Whether the time for the handshake is over.
    func isHandshakeOverdue(_ now: MonotonicTime) -> Bool { tls?.deadline.map { $0 <= now } ?? false }

    private func recordsFailed(_ reason: String) {
        guard tls?.filter?.isEstablished == true else { return handshakeFailed(reason, .afterFlush) }
        tls?.server?.complain("TLS connection broken", peer, reason, loop.turnClock.monotonic)
        close(.broken("TLS: " + reason), .afterFlush)
    }

    /// Closes the connection; after the alert that tells the peer why, if there is one.
    func handshakeFailed(_ reason: String, _ mode: CloseMode) {
        tls?.server?.complain("TLS handshake failed", peer, reason, loop.turnClock.monotonic)
        let ended = tls?.handshakeEnded
        tls?.handshakeEnded = nil
        close(.broken("TLS: " + reason), mode)
        ended?(reason)
    }

    /// The socket closes.
    func endTLS() {
        guard let tls else { return }
        if let server = tls.server, let filter = tls.filter, !filter.isEstablished {
            server.handshakeEnded(established: false)
        }
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
