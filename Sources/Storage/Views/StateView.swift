import Base
import Bytes
import Model

/// A view over the state records of the log (topics, groups, consumer offsets) and over what messages settle. The store keeps
/// it up to date, snapshots it, and rebuilds it after a start; what a record means is the owner's business.
public protocol StateView: AnyObject {
    /// Takes in the body of one state record. Called once for each record in the order of the log: at the append, and after a
    /// start for the snapshot's and the later ones.
    /// - Throws: when the bytes are none of the owner's records, with the reason.
    func apply(_ record: RawSpan) throws(StateRecordError)
    /// Takes in that a message was appended which a pending record became. Called in the order of the log as
    /// ``apply(_:)`` is; more than once when a start replays what a snapshot has.
    func settle(_ pending: PendingID)
    /// The topic that this record of the view removes, or nil. The store calls it when it replays the log: the topic's queues
    /// go then, as they went when the record was appended.
    func topicRemoved(by record: RawSpan) -> String?
    /// Calls `emit` with records that together bring an empty view to the present state.
    func snapshot(_ emit: (RawSpan) -> Void)
}

/// Why a state record could not be taken in.
public struct StateRecordError: Error, Equatable, Sendable {
    public var reason: String
    public init(_ reason: String) { self.reason = reason }
}
