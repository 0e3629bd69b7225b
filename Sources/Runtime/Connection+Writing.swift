import Bytes
import CLibuv
import Telemetry

/// How bytes go out: gathered during a turn, written at its end, and, if the kernel does not take all, handed to libuv until
/// the peer has made room.
extension Connection {
    /// Where the handler appends what it has to say, followed by ``outputAdded()``. Fetch it anew in each turn.
    /// On a closed connection it takes everything and sends nothing.
    public var output: ByteBuffer {
        guard isOpen else { return loop.discarded }
        if let gathering { return gathering }
        let buffer = loop.buffers.takeLarge()
        gathering = buffer
        return buffer
    }

    /// Bytes that the kernel has not taken yet.
    public var unsentBytes: Int {
        guard !isClosed else { return 0 }
        return (gathering?.count ?? 0) + (tls?.records?.count ?? 0) + uv_stream_get_write_queue_size(stream)
    }

    /// Says that ``output`` has got more. It leaves at the end of the turn.
    public func outputAdded() {
        guard isOpen, let gathering, !gathering.isEmpty else { return }
        markDirty()
        account()
        let unsent = gathering.count + (writing == nil ? 0 : uv_stream_get_write_queue_size(stream))
        guard unsent > options.outputHighWatermark else { return }
        isCongested = true
        guard unsent > options.outputMaximum else { return }
        loop.log.warning("peer does not take its output", ["peer": "\(peer)", "bytes": "\(unsent)"])
        loop.counters.outputOverflows += 1
        close(.outputOverflow, .abort)
    }

    func markDirty() {
        guard !isDirty else { return }
        isDirty = true
        loop.dirty.append(self)
    }

    /// Writes what has gathered. Called by the loop at the end of a turn.
    func flush() {
        isDirty = false
        guard state == .open || state == .flushing else { return }
        if !isPlain {
            writeRecords()
        } else if writing == nil {
            writeGathered()
        }
        account()
        settleOutput()
    }

    private func writeGathered() {
        guard let output = gathering, !output.isEmpty else { return }
        gathering = nil
        write(output)
    }

    /// Gives `output` to the kernel, and what it does not take to libuv.
    func write(_ output: ByteBuffer) {
        let sent = output.withUnsafeMutableBytes { bytes -> Int32 in
            var slice = uvBuffer(bytes)
            return uv_try_write(stream, &slice, 1)
        }
        if sent > 0 {
            countSent(Int(sent))
            output.consume(Int(sent))
        } else if sent < 0, sent != UV_EAGAIN.rawValue {
            loop.buffers.recycle(output)
            return broke(sent)
        }
        if output.isEmpty { loop.buffers.recycle(output) } else { writeRest(output) }
    }

    /// Leaves `rest` to libuv, which writes it as the peer makes room and then calls `didWrite`.
    private func writeRest(_ rest: ByteBuffer) {
        let request = writeRequest ?? .allocate(capacity: 1)
        writeRequest = request
        writing = rest
        // SAFETY: `writing` keeps the bytes unchanged until `didWrite`, which libuv calls before the close callback at the latest.
        let status = rest.withUnsafeMutableBytes { bytes -> Int32 in
            var slice = uvBuffer(bytes)
            return uv_write(request, stream, &slice, 1, written)
        }
        if status < 0 {
            writing = nil
            broke(status)
        }
    }

    fileprivate func didWrite(_ status: Int32) {
        loop.turnClock.startTurn()
        guard let written = writing else { return }
        writing = nil
        let size = written.count
        loop.buffers.recycle(written)
        account()
        guard status == 0 else { return broke(status) }
        countSent(size)
        if gathering != nil || tls?.records != nil || owesGoodbye { markDirty() } else { settleOutput() }
    }

    private func countSent(_ size: Int) {
        loop.counters.bytesSent += size
        lastTraffic = loop.turnClock.monotonic
    }

    /// Draws the consequences of how much is unsent now.
    private func settleOutput() {
        if state == .flushing {
            if unsentBytes == 0, !owesGoodbye { closeSocket() }
        } else if isOpen, isCongested {
            guard unsentBytes <= options.outputLowWatermark else {
                if !mayRead { stopReading() }
                return
            }
            isCongested = false
            handler?.drained(self)
            resumeReadingIfAllowed()
        }
    }

    private func broke(_ status: Int32) {
        close(.broken(describe(status)), .abort)
    }
}

private func uvBuffer(_ bytes: UnsafeMutableRawBufferPointer) -> uv_buf_t {
    uv_buf_t(base: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), len: bytes.count)
}

private func written(_ request: UnsafeMutablePointer<uv_write_t>?, _ status: Int32) {
    guard let data = request?.pointee.handle?.pointee.data else { return }
    // SAFETY: the socket holds a reference to its connection until its close callback, which comes after this one.
    Unmanaged<Connection>.fromOpaque(data).takeUnretainedValue().didWrite(status)
}
