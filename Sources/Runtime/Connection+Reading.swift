import Bytes
import CLibuv
import Telemetry

/// How bytes come in.
///
/// All connections of a loop read into one buffer, and most reads end with whole frames, so an idle connection holds no
/// memory. Where the unfinished frame at the end of a read goes depends on its size:
///
///     unfinished     kept in                            next read goes to
///     none           –                                  the shared buffer
///     ≤ 4 KiB        a small buffer of the connection   the shared buffer, behind a copy of the piece
///     more           a buffer of the connection         that buffer, up to the end of the frame
///
/// The own buffer grows with what has arrived, not with what the peer announces, and at most doubles until 1 MiB is there; so
/// announcing large frames costs a peer as much as sending them, and a large frame is copied about twice.
extension Connection {
    /// Pieces up to this size are copied back in front of the next read.
    private static let copiedPieceMaximum = 4 * 1024
    /// Bytes to read for an unfinished frame whose length nobody has said.
    private static let readSize = 16 * 1024
    /// What lacks more than this of a frame stands still while memory is short.
    private static let hungrySize = 64 * 1024
    /// From here on the whole frame gets its room at once.
    private static let trustedSize = 1024 * 1024

    /// Says that the handler can do nothing before `bytes` bytes, counted from the front of what it left, are there. Holds
    /// until the next call of `received`. Closes the connection when that is more than the input may hold.
    public func expect(bytes: Int) {
        guard bytes <= options.inputMaximum else { return overflowInput(bytes) }
        expected = bytes
    }

    /// Reads nothing until ``resumeReading()``; bytes already read stay with the connection.
    public func pauseReading() {
        isPaused = true
        stopReading()
    }

    /// Ends ``pauseReading()``. Frames left unconsumed are received again in the next turn.
    public func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        resumeReadingIfAllowed()
    }

    var mayRead: Bool { isOpen && !isPaused && !isStarving && (!isCongested || options.readsWhileCongested) }

    func resumeReadingIfAllowed() {
        guard mayRead, !isReading, !isDelivering else { return }
        if let input, !input.isEmpty {
            guard !isRedelivering else { return }
            isRedelivering = true
            loop.redeliveries.append(self)
        } else {
            startReading()
        }
    }

    private func startReading() {
        let status = uv_read_start(stream, roomWanted, bytesRead)
        if status == 0 { isReading = true } else { close(.broken(describe(status)), .abort) }
    }

    func stopReading() {
        guard isReading else { return }
        isReading = false
        uv_read_stop(stream)
    }

    /// Shows the handler again what it left while the connection was congested or paused.
    func redeliver() {
        isRedelivering = false
        guard mayRead, !isReading, let input else { return }
        deliver(input)
        if mayRead, !isReading { startReading() }
    }

    // MARK: - One read

    /// Where the kernel shall put what it has.
    fileprivate func room() -> UnsafeMutableRawBufferPointer {
        loop.turnClock.startTurn()
        guard isPlain || tls?.filter == nil else { return freeRoom(of: loop.records, loop.records.capacity) }
        let buffer = bufferForContent()
        guard buffer === loop.readBuffer else { return freeRoom(of: buffer, roomForFrame(buffer.count)) }
        return freeRoom(of: buffer, buffer.capacity - buffer.count)
    }

    /// Where the next bytes go: behind the unfinished frame, if there is one.
    func bufferForContent() -> ByteBuffer {
        let shared = loop.readBuffer
        guard let input else { return shared }
        guard input.count <= Self.copiedPieceMaximum else { return input }
        shared.append(input.bytes)
        loop.buffers.recycle(input)
        self.input = nil
        return shared
    }

    private func roomForFrame(_ present: Int) -> Int {
        let missing = expected - present
        guard missing > 0 else { return max(present, Self.readSize) }
        return present >= Self.trustedSize ? missing : min(missing, max(present, 4 * Self.readSize))
    }

    private func freeRoom(of buffer: ByteBuffer, _ size: Int) -> UnsafeMutableRawBufferPointer {
        var room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        // SAFETY: the pointer leaves the closure, but the buffer does not change before `didRead`, which libuv calls directly
        // after its read.
        buffer.appendUninitialized(size) { bytes in
            room = bytes
            return 0
        }
        return room
    }

    fileprivate func didRead(_ result: Int) {
        guard isPlain else { return didReadGuarded(result) }
        let buffer = input ?? loop.readBuffer
        if result > 0 {
            // The room was reserved by `room`, so this moves nothing.
            buffer.appendUninitialized(result) { _ in result }
            loop.counters.bytesReceived += result
            lastTraffic = loop.turnClock.turnStart
            deliver(buffer)
            // The handler may have paused and resumed within the call.
            resumeReadingIfAllowed()
        } else {
            keep(buffer)
            if result < 0 { ended(Int32(truncatingIfNeeded: result)) }
        }
    }

    func ended(_ status: Int32) {
        if status == UV_EOF.rawValue {
            close(.peerClosed, .afterFlush)
        } else {
            close(.broken(describe(status)), .abort)
        }
    }

    func deliver(_ buffer: ByteBuffer) {
        expected = 0
        isDelivering = true
        let before = buffer.count
        handler?.received(buffer, on: self)
        isDelivering = false
        // Whatever was consumed, another frame has begun since.
        if buffer.isEmpty || buffer.count != before { frameBegan = nil }
        if !buffer.isEmpty, frameBegan == nil { frameBegan = loop.turnClock.turnStart }
        keep(buffer)
        account()
        guard isOpen else { return }
        // This side's own questions go on, so that what is waited for ends.
        if loop.isMemoryShort, expected - (input?.count ?? 0) > Self.hungrySize, !isStarving,
            !options.readsWhileCongested
        {
            isStarving = true
            loop.starving.append(self)
        }
        if !mayRead {
            stopReading()
        } else if let input, input.count > options.inputMaximum {
            overflowInput(input.count)
        }
    }

    /// Finds a place for what the handler left.
    func keep(_ buffer: ByteBuffer) {
        if buffer.isEmpty || !isOpen {
            buffer.removeAll()
            if let input { loop.buffers.recycle(input) }
            input = nil
        } else if buffer === loop.readBuffer {
            let own = loop.buffers.take(for: buffer.count)
            own.append(buffer.bytes)
            buffer.removeAll()
            input = own
        }
    }

    private func overflowInput(_ size: Int) {
        guard isOpen else { return }
        loop.log.warning("frame too large", ["peer": "\(peer)", "bytes": "\(size)"])
        loop.counters.malformed += 1
        if loop.peers.strike(peer, now: loop.turnClock.monotonic) { loop.counters.penalties += 1 }
        close(.inputOverflow, .abort)
    }
}

private func connection(_ data: UnsafeMutableRawPointer?) -> Connection? {
    // SAFETY: the socket holds a reference to its connection until its close callback.
    data.map { Unmanaged<Connection>.fromOpaque($0).takeUnretainedValue() }
}

private func roomWanted(
    _ socket: UnsafeMutablePointer<uv_handle_t>?, _: Int, _ answer: UnsafeMutablePointer<uv_buf_t>?
) {
    guard let connection = connection(socket?.pointee.data) else { return }
    let room = connection.room()
    answer?.pointee.base = room.baseAddress?.assumingMemoryBound(to: CChar.self)
    answer?.pointee.len = room.count
}

private func bytesRead(_ socket: UnsafeMutablePointer<uv_stream_t>?, _ result: Int, _: UnsafePointer<uv_buf_t>?) {
    connection(socket?.pointee.data)?.didRead(result)
}
