import CProcessor

/// Asks the processor to bring the cache line at `address` nearer, because it is going to be read and written soon. Nothing
/// else happens, whatever the address: use it some hundred instructions ahead, where memory is visited in no order.
@inlinable
@inline(__always)
public func prefetch(_ address: UnsafeRawPointer?) { apus_prefetch(address) }
