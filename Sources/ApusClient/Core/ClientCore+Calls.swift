import Base
import Bytes
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// Requests to servers: one entry of the wait list for each, from the call to its answer.
extension ClientCore {
    /// Sends a request and waits for its answer.
    /// - Throws: whatever ended the waiting, and what `request.read` throws.
    func call<Answer>(
        _ request: Request<Answer>, to address: String, deadline: MonotonicTime
    ) async throws(ClientError) -> Answer {
        guard let answer = try await perform(request, to: address, deadline: deadline) else {
            preconditionFailure("a one-way request has no answer to wait for")
        }
        return answer
    }

    func call<Answer>(
        _ request: Request<Answer>, to address: String, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer {
        try await call(request, to: address, deadline: deadline(timeout))
    }

    /// Sends a request that nobody answers. Returns when it was handed to the connection.
    func post(_ request: Request<Void>, to address: String, deadline: MonotonicTime) async throws(ClientError) {
        _ = try await perform(request.oneway, to: address, deadline: deadline)
    }

    /// Has a broker look at the expression of a subscription (46).
    /// - Throws: what the broker finds wrong with it.
    func check(
        _ subscription: Subscription, group: String, at address: String, deadline: MonotonicTime
    ) async throws(ClientError) {
        let body = CheckClientConfigBody(clientID: identity.clientID, group: group, subscription: subscription)
        try await call(Request(.checkClientConfig, body: body.encoded()), to: address, deadline: deadline)
    }

    private func perform<Answer>(
        _ request: Request<Answer>, to address: String, deadline: MonotonicTime
    ) async throws(ClientError) -> Answer? {
        guard !isClosed else { throw .closed() }
        begin()
        let number = waits.nextNumber()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                submit(Call(request, to: address, deadline: deadline, continuation), number)
            }
        } onCancel: {
            loop.post { self.assumeIsolated { $0.cancel(number) } }
        }
        return try result.get()
    }

    private func cancel(_ number: Int32) {
        waits.fail(number, ClientError(.cancelled, "the task was cancelled"))
    }

    private func submit(_ call: any PendingCall, _ number: Int32) {
        waits.add(call, number)
        let peer = peer(call.address)
        if peer.unwritten.isEmpty, let connection = peer.writable {
            write(number, on: connection)
        } else {
            peer.unwritten.append(number)
            connectIfIdle(peer)
        }
    }

    private func write(_ number: Int32, on connection: Connection) {
        guard let call = waits[number] as? any PendingCall else { return }
        var writer = CommandWriter(connection.output, encoding: configuration.encoding)
        writer.language = .other
        writer.signer = signer
        call.write(number, into: &writer)
        connection.outputAdded()
        if call.isOneway {
            _ = waits.take(number)
            call.written()
        }
    }

    private func writeWaiting(_ peer: Peer) {
        var index = 0
        while index < peer.unwritten.count, let connection = peer.writable {
            write(peer.unwritten[index], on: connection)
            index += 1
        }
        peer.unwritten.removeFirst(index)
    }

    // MARK: - Connections

    private func peer(_ address: String) -> Peer {
        if let peer = peers[address] { return peer }
        let peer = Peer(address)
        peers[address] = peer
        // These closures hold the core; `close` lets go of them.
        peer.onAnswer = { [unowned peer] command in self.answered(command, from: peer) }
        peer.onRequest = { [unowned peer] command, connection in self.requested(command, of: peer, on: connection) }
        peer.onDrained = { [unowned peer] in self.writeWaiting(peer) }
        peer.onClosed = { [unowned peer] reason in self.closed(peer, reason) }
        return peer
    }

    private func connectIfIdle(_ peer: Peer) {
        guard case .idle = peer.state else { return }
        let wait = peer.retryAt.milliseconds(since: now())
        guard wait > 0 else { return connect(peer) }
        peer.state = .backingOff
        loop.schedule(afterMilliseconds: wait) { self.connect(peer) }
    }

    private func connect(_ peer: Peer) {
        guard !isClosed else { return }
        guard let (host, port) = Self.hostAndPort(peer.address) else {
            peer.state = .idle
            return failWaiting(peer, ClientError(.invalidArgument, "\"\(peer.address)\" is no host:port"))
        }
        peer.state = .connecting
        loop.connect(
            host: host, port: port, timeoutMilliseconds: max(1, configuration.connectTimeout.milliseconds), tls: tls,
            connected: { connection in self.connected(peer, connection) },
            failed: { error in self.failedToConnect(peer, error) })
    }

    private func connected(_ peer: Peer, _ connection: Connection) -> (any ConnectionHandler)? {
        guard !isClosed else { return nil }
        peer.state = .open(connection)
        peer.failures = 0
        peer.lastFailure = nil
        log.debug("connected", ["server": peer.address])
        // A broker forgets its clients with their connections: it must hear of this one before it is asked for messages.
        let address = peer.address
        if isBroker(address) { Task { await self.sendHeartbeat(to: address) } }
        writeWaiting(peer)
        return peer
    }

    private func failedToConnect(_ peer: Peer, _ error: RuntimeError) {
        guard !isClosed else { return }
        backOff(peer)
        log.info("cannot connect", ["server": peer.address, "reason": "\(error)", "failures": "\(peer.failures)"])
        let failure = ClientError(.connectionFailed, "cannot connect to \(peer.address)", underlying: error)
        peer.lastFailure = failure
        failWaiting(peer, failure)
    }

    private func backOff(_ peer: Peer) {
        peer.state = .idle
        peer.failures += 1
        let least = configuration.reconnectDelayMinimum.milliseconds
        let most = configuration.reconnectDelayMaximum.milliseconds
        peer.retryAt = now().advanced(byMilliseconds: min(most, least << Int64(min(peer.failures - 1, 16))))
    }

    private func failWaiting(_ peer: Peer, _ error: ClientError) {
        let numbers = peer.unwritten
        peer.unwritten = []
        for number in numbers { waits.fail(number, error) }
    }

    private func closed(_ peer: Peer, _ reason: CloseReason) {
        peer.state = .idle
        peer.unwritten = []
        announcedGroups[peer.address] = nil
        log.info("connection ended", ["server": peer.address, "reason": "\(reason)"])
        let error = ClientError(.connectionClosed, "the connection to \(peer.address) ended: \(reason)")
        waits.failAll(error) { ($0 as? any PendingCall)?.address == peer.address }
        routesMayHaveChanged(peer.address)
    }

    // MARK: - What servers send

    private func answered(_ command: ReceivedCommand, from peer: Peer) {
        // An answer that comes after its deadline finds nobody.
        guard let call = waits[command.header.opaque] as? any PendingCall, call.address == peer.address else { return }
        _ = waits.take(command.header.opaque)
        call.answered(command)
    }

    /// Requests of a broker to its clients.
    private func requested(_ command: ReceivedCommand, of peer: Peer, on connection: Connection) {
        switch command.header.requestCode {
        case .notifyConsumerIdsChanged:
            guard let header = try? command.fields(NotifyConsumerIDsChangedHeader.self) else { return }
            if let consumer = consumerCores[header.consumerGroup] { Task { await consumer.rebalanceSoon() } }
        case .resetConsumerClientOffset:
            guard let header = try? command.fields(ResetOffsetHeader.self),
                let body = try? command.json(ResetOffsetBody.self), let consumer = consumerCores[header.group]
            else { return }
            Task { await consumer.reset(body.offsets) }
        case .getConsumerStatusFromClient: tellStatus(command, on: connection)
        case .getConsumerRunningInfo: tellRunningInformation(command, on: connection)
        case .checkTransactionState: check(command, from: peer.address)
        case .pushReplyMessageToClient:
            if let objection = takeReply(command) {
                respond(.systemError, to: command, on: connection, objection)
            } else {
                respond(.success, to: command, on: connection)
            }
        default:
            respond(
                .requestCodeNotSupported, to: command, on: connection,
                "request type \(command.header.code) not supported")
        }
    }

    func respond(
        _ code: ResponseCode, to command: ReceivedCommand, on connection: Connection, _ remark: String? = nil
    ) {
        guard !command.header.isOneway else { return }
        var writer = CommandWriter(connection.output, encoding: command.header.encoding)
        writer.language = .other
        writer.begin(response: code, to: command.header, remark: .init(remark))
        writer.end()
        connection.outputAdded()
    }

    // MARK: - Name servers

    /// Asks a name server, and the next one when it cannot be reached, until one answers or the deadline has passed.
    func callNameServer<Answer>(
        _ request: Request<Answer>, deadline: MonotonicTime
    ) async throws(ClientError) -> Answer {
        let count = configuration.nameServers.count
        guard count > 0 else { throw ClientError(.noNameServer, "the configuration names no name server") }
        var last: ClientError?
        for attempt in 0..<count {
            let index = nameServer
            // Whoever does not answer must leave time for the others.
            let left = deadline.milliseconds(since: now())
            guard left > 0 else { break }
            let share = now().advanced(byMilliseconds: max(1, left / Int64(count - attempt)))
            do throws(ClientError) {
                return try await call(request, to: configuration.nameServers[index], deadline: share)
            } catch {
                guard [.timedOut, .connectionFailed, .connectionClosed].contains(error.code) else { throw error }
                last = error
                // Somebody else may have moved on meanwhile.
                if nameServer == index { nameServer = (index + 1) % count }
            }
        }
        throw ClientError(
            .noNameServer, "no name server answered (\(configuration.nameServers.joined(separator: ", ")))",
            underlying: last)
    }

    /// `host:port`, also with an IPv6 address in brackets.
    static func hostAndPort(_ address: String) -> (host: String, port: Int)? {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return host.isEmpty ? nil : (String(host), port)
    }
}
