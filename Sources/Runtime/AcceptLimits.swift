/// Which connections a listener takes.
public struct AcceptLimits: Equatable, Sendable {
    /// Open connections of the listener; further ones are closed at once.
    public var connectionsMaximum = 65_536
    /// Open connections of one address over all listeners of the loop; 0 is any number.
    public var perAddressMaximum = 0
    /// Whether addresses of this machine are refused, too: for having too many connections, or for sending rubbish.
    public var includesLoopback = false
    /// Connections taken in one turn of the loop, so that those that are there already get their turn.
    public var perTurnMaximum = 64
    public init(connectionsMaximum: Int = 65_536) { self.connectionsMaximum = connectionsMaximum }
}

extension Listener {
    /// Why a connection was refused.
    public enum Refusal: Int, CaseIterable, Sendable {
        case tooMany, tooManyFromAddress, penalty, memory, handler
        var words: String {
            switch self {
            case .tooMany: "too many connections"
            case .tooManyFromAddress: "too many connections from one address"
            case .penalty: "the address has sent rubbish"
            case .memory: "peers hold too much memory"
            case .handler: "unwanted"
            }
        }
    }
}
