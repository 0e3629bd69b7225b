import Base
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// Routes: kept by topic, fetched on first use, every 30 seconds, and when a broker fails.
extension ClientCore {
    /// The route of a topic.
    /// - Parameters:
    ///   - template: for an unknown topic, the topic whose route to take instead, and how many queues to use.
    /// - Throws: ``ClientError/Code-swift.struct/topicNotFound`` when there is neither.
    func route(
        _ topic: String, template: (topic: String, queueCount: Int32)? = nil, deadline: MonotonicTime
    ) async throws(ClientError) -> TopicRoute {
        begin()
        if let route = routes[topic], template != nil || !route.isProvisional { return route }
        do throws(ClientError) {
            return try await fetchRoute(topic, deadline: deadline)
        } catch {
            guard error.code == .topicNotFound, let template else { throw error }
            let data: TopicRouteData
            do throws(ClientError) { data = try await fetchRoute(template.topic, deadline: deadline).data } catch let
                second
            {
                guard second.code == .topicNotFound else { throw second }
                throw error
            }
            let route = TopicRoute(topic: topic, from: data, queueCount: template.queueCount)
            if routes[topic] == nil { routes[topic] = route }
            return routes[topic] ?? route
        }
    }

    /// Fetches a route; calls for the same topic that come meanwhile share the answer.
    private func fetchRoute(_ topic: String, deadline: MonotonicTime) async throws(ClientError) -> TopicRoute {
        if let route = routes[topic], !route.isProvisional { return route }
        guard !isClosed else { throw .closed() }
        let number = waits.nextNumber()
        let result: Result<TopicRoute, ClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waits.add(Waiter("the route of \(topic)", deadline: deadline, continuation), number)
                let isFirst = routeWaiters[topic] == nil
                routeWaiters[topic, default: []].append(number)
                if isFirst { Task { await self.fetchForWaiters(topic) } }
            }
        } onCancel: {
            loop.post {
                self.assumeIsolated { $0.waits.fail(number, ClientError(.cancelled, "the task was cancelled")) }
            }
        }
        return try result.get()
    }

    private func fetchForWaiters(_ topic: String) async {
        var result: Result<TopicRoute, ClientError>
        do throws(ClientError) { result = .success(try await refreshRoute(topic)) } catch { result = .failure(error) }
        for number in routeWaiters.removeValue(forKey: topic) ?? [] {
            guard let waiter = waits.take(number) as? Waiter<TopicRoute> else { continue }
            switch result {
            case .success(let route): waiter.succeed(route)
            case .failure(let error): waiter.fail(error)
            }
        }
    }

    /// Asks for a route whatever is known, and keeps the answer.
    @discardableResult
    func refreshRoute(_ topic: String) async throws(ClientError) -> TopicRoute {
        let request = Request(
            .getRouteInfoByTopic, GetRouteInfoHeader(topic: topic, isStandardJSONOnly: true), json: TopicRouteData.self)
        do throws(ClientError) {
            let data = try await callNameServer(request, deadline: deadline(nil))
            let route = TopicRoute(topic: topic, data: data)
            keep(route)
            return route
        } catch {
            guard error.answer?.code == ResponseCode.topicNotExist.rawValue else { throw error }
            if routes[topic]?.isProvisional == false { routes[topic] = nil }
            throw ClientError(
                .topicNotFound, "no broker serves topic \(topic): create it, or let brokers create topics on first use",
                answer: error.answer)
        }
    }

    private func keep(_ route: TopicRoute) {
        let isChanged = routes[route.topic]?.data != route.data
        routes[route.topic] = route
        var unknown: [String] = []
        for broker in route.data.brokers {
            for address in broker.addresses.values where !isBroker(address) { unknown.append(address) }
            brokers[broker.brokerName] = broker
        }
        guard isChanged else { return }
        log.debug("route", ["topic": route.topic, "queues": "\(route.subscribeQueues.count)"])
        for address in unknown where !consumers.isEmpty { Task { await self.sendHeartbeat(to: address) } }
    }

    /// Fetches every route in use anew.
    func refreshRoutes() async {
        for topic in Set(routes.keys).union(consumers.values.flatMap { $0.subscriptions.map(\.topic) }).sorted() {
            do throws(ClientError) { try await refreshRoute(topic) } catch {
                guard error.code != .topicNotFound else { continue }
                log.warning("route not refreshed", ["topic": topic, "reason": "\(error)"])
                return
            }
        }
    }

    /// A broker's connection ended: asks for the routes that lead to it.
    func routesMayHaveChanged(_ address: String) {
        guard !isClosed, isBroker(address) else { return }
        let names = Set(brokers.values.filter { $0.addresses.values.contains(address) }.map(\.brokerName))
        let topics = routes.values.filter {
            !$0.isProvisional && $0.data.brokers.contains { names.contains($0.brokerName) }
        }
        .map(\.topic)
        guard !topics.isEmpty else { return }
        Task {
            for topic in topics.sorted() { _ = try? await self.refreshRoute(topic) }
        }
    }

    /// Forgets the route of a topic, so that the next use asks for it.
    func forgetRoute(_ topic: String) { routes[topic] = nil }

    // MARK: - Brokers

    func isBroker(_ address: String) -> Bool {
        brokers.values.contains { $0.addresses.values.contains(address) }
    }

    /// Where a broker listens.
    /// - Parameter brokerID: 0 is the master; when that replica is not there, any other that may be read.
    func address(of brokerName: String, brokerID: Int64 = 0, isReplicaAllowed: Bool = false) throws(ClientError)
        -> String
    {
        guard let broker = brokers[brokerName] else {
            throw ClientError(.brokerNotFound, "broker \(brokerName) is in no route")
        }
        if let address = broker.addresses[brokerID] { return address }
        if isReplicaAllowed, let first = broker.addresses.min(by: { $0.key < $1.key }) { return first.value }
        throw ClientError(.brokerNotFound, "broker \(brokerName) has no master now")
    }

    /// The address of the broker that has a queue, from the route if it is not known yet.
    func address(
        of queue: MessageQueue, brokerID: Int64 = 0, isReplicaAllowed: Bool = false, deadline: MonotonicTime
    ) async throws(ClientError) -> String {
        if brokers[queue.brokerName] == nil { _ = try await route(queue.topic, deadline: deadline) }
        return try address(of: queue.brokerName, brokerID: brokerID, isReplicaAllowed: isReplicaAllowed)
    }
}
