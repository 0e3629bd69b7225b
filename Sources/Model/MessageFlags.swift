/// The `sysFlag` of a message (reference §1.8).
public struct MessageFlags: OptionSet, Hashable, Sendable {
    public let rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    /// The body is compressed; bits 8 to 10 say how.
    public static let compressed = MessageFlags(rawValue: 0x1)
    public static let multiTags = MessageFlags(rawValue: 0x2)
    public static let bornHostIsIPv6 = MessageFlags(rawValue: 0x10)
    public static let storeHostIsIPv6 = MessageFlags(rawValue: 0x20)
    /// No message: stands where a damaged record was, so that its queue moves on (`apus store repair`). Not RocketMQ's.
    public static let setAside = MessageFlags(rawValue: 0x2000_0000)
    /// Both bits of the transaction state: none, prepared 0x4, commit 0x8, rollback 0xC.
    public static let transactionMask: Int32 = 0xC
    public static let transactionPrepared: Int32 = 0x4
    public static let transactionCommit: Int32 = 0x8
    public static let transactionRollback: Int32 = 0xC
    @inlinable public var transactionState: Int32 { rawValue & Self.transactionMask }
    /// 0 and 3 mean zlib, 1 LZ4, 2 ZSTD.
    @inlinable public var compressionType: Int32 { (rawValue >> 8) & 0x7 }
    public func withTransactionState(_ state: Int32) -> MessageFlags {
        MessageFlags(rawValue: rawValue & ~Self.transactionMask | state)
    }
}
