import Base
import Bytes
import NameService
import RemotingFrontend
import Telemetry

/// A machine of a simulated cluster that runs a name server: the real one, behind its real sessions. It has no disk; what it knew is
/// gone when it ends, and comes back with the brokers' registrations.
final class NameServerMachine: ConnectionListener {
    unowned let world: ClusterSimulation
    let index: Int
    private let clock: MachineClock
    private var frontend: NameServerFrontend?
    private var run = 0

    var node: Int { index }

    init(_ world: ClusterSimulation, index: Int) {
        self.world = world
        self.index = index
        clock = MachineClock(world.schedule)
    }

    func start() {
        guard frontend == nil, !world.isOver else { return }
        run += 1
        world.note("name server % starts", index)
        frontend = NameServerFrontend(
            server: NameServer(configuration: NameServerConfiguration(), clock: clock, log: world.log), log: world.log)
        expire(run)
    }

    private func expire(_ run: Int) {
        guard run == self.run, let frontend, !world.isOver else { return }
        frontend.expire()
        world.schedule.after(milliseconds: 5_000) { [unowned self] in expire(run) }
    }

    func crash() {
        guard frontend != nil else { return }
        world.note("name server % ends", index)
        run += 1
        frontend = nil
        world.network.drop(node: node)
        world.schedule.after(milliseconds: 500 + Int64(world.random.next(below: 5_000))) { [unowned self] in start() }
    }

    func accept(_ connection: SimulatedConnection) -> (any ConnectionEnd)? {
        guard let frontend else { return nil }
        let peer = HostAddress(
            ipv4: 0x0A00_0100 | UInt32(connection.client), port: Int32(connection.number % 60_000))
        return End(world, connection, frontend.makeSession(peer: peer))
    }

    private final class End: ConnectionEnd {
        unowned let world: ClusterSimulation
        let connection: SimulatedConnection
        let session: NameServerSession
        let input = ByteBuffer(capacity: 256)

        init(_ world: ClusterSimulation, _ connection: SimulatedConnection, _ session: NameServerSession) {
            self.world = world
            self.connection = connection
            self.session = session
        }

        func received(_ bytes: [UInt8]) {
            input.append(bytes)
            let output = ByteBuffer(capacity: 256)
            while !input.isEmpty {
                switch session.next(input, output) {
                case .handled: continue
                case .incomplete: break
                case .malformed(let reason):
                    return world.fail("P6", "a name server does not understand its client: \(reason)")
                }
                break
            }
            connection.send(.server, output.bytes.array())
        }

        func closed() { session.close() }
    }
}
