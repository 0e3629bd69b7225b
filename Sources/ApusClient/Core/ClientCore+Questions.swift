import Base
import Bytes
import Model
import RemotingProtocol
import Runtime

/// What tools ask a client through its broker: where it stands (221), and how it is (307). The names in the answers are those
/// that RocketMQ's tools show (`ConsumerRunningInfo`, remoting reference §1.9).
extension ClientCore {
    func tellStatus(_ command: ReceivedCommand, on connection: Connection) {
        guard let header = try? command.fields(GetConsumerStatusHeader.self) else {
            return respond(.systemError, to: command, on: connection, "the header cannot be read")
        }
        guard let consumer = consumerCores[header.group] else {
            // As in RocketMQ: who is not in the group stands nowhere.
            return respond(to: command, on: connection, GetConsumerStatusBody())
        }
        Task {
            let queues = await consumer.positions(ofTopic: header.topic)
            respond(to: command, on: connection, GetConsumerStatusBody(queues: queues))
        }
    }

    func tellRunningInformation(_ command: ReceivedCommand, on connection: Connection) {
        guard let header = try? command.fields(GetConsumerRunningInfoHeader.self) else {
            return respond(.systemError, to: command, on: connection, "the header cannot be read")
        }
        guard let consumer = consumerCores[header.consumerGroup] else {
            return respond(
                .systemError, to: command, on: connection,
                "The Consumer Group <\(header.consumerGroup)> not exist in this consumer")
        }
        let nameServers = configuration.nameServers.joined(separator: ";")
        Task {
            let document = await consumer.runningInformation(nameServers: nameServers)
            respond(to: command, on: connection, ConsumerRunningInfo(document: document))
        }
    }

    private func respond(to command: ReceivedCommand, on connection: Connection, _ body: some CommandBody) {
        guard !command.header.isOneway else { return }
        var writer = CommandWriter(connection.output, encoding: command.header.encoding)
        writer.language = .other
        writer.begin(response: .success, to: command.header)
        writer.beginBody()
        body.encode(to: writer.buffer)
        writer.end()
        connection.outputAdded()
    }
}
