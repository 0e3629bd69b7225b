import Base
import Bytes

extension HostAddress {
    public func append(to buffer: ByteBuffer) {
        appendAddress(to: buffer)
        buffer.append(bigEndian: port)
    }

    /// The address without the port.
    public func appendAddress(to buffer: ByteBuffer) {
        if isIPv6 {
            buffer.append(bigEndian: high)
            buffer.append(bigEndian: low)
        } else {
            buffer.append(bigEndian: ipv4)
        }
    }
}
