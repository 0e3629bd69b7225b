import Bytes
import Model

/// The properties of a message that waits, and of the one that it becomes.
enum TimerProperties {
    /// Appends the properties that go with a message into the wheel, without those that the wheel gives itself.
    static func appendWaiting(_ properties: RawSpan, to buffer: ByteBuffer) {
        append(properties, to: buffer) { $0 == .ordinary || $0 == .delay }
    }

    /// Appends what stays when the message is delivered. RocketMQ leaves it the properties that asked for the delay, and where
    /// it was to go (`ScheduleMessageService.messageTimeUp` makes the text before it clears them).
    static func appendDelivered(_ properties: RawSpan, to buffer: ByteBuffer) {
        append(properties, to: buffer) { $0 != .wheel && $0 != .checksum }
    }

    /// Appends the properties without any that belong to a delay: for a message that is tried again.
    static func appendPlain(_ properties: RawSpan, to buffer: ByteBuffer) {
        append(properties, to: buffer) { $0 == .ordinary }
    }

    /// Appends one property more.
    static func append(_ name: String, _ value: RawSpan, to buffer: ByteBuffer) {
        begin(name, in: buffer)
        buffer.append(value)
    }

    static func append(_ name: String, _ value: String, to buffer: ByteBuffer) {
        begin(name, in: buffer)
        buffer.append(utf8: value)
    }

    static func append(_ name: String, _ value: Int64, to buffer: ByteBuffer) {
        begin(name, in: buffer)
        buffer.append(decimal: value)
    }

    private static func begin(_ name: String, in buffer: ByteBuffer) {
        let buffer = buffer
        if buffer.count > 0, buffer.bytes.byte(at: buffer.count - 1) != PropertyName.propertySeparator {
            buffer.append(PropertyName.propertySeparator)
        }
        buffer.append(utf8: name)
        buffer.append(PropertyName.nameSeparator)
    }

    enum Kind {
        case ordinary
        /// What the sender says about the delay.
        case delay
        /// Where the message goes when it is due.
        case target
        /// What only the wheel knows.
        case wheel
        /// The checksum of the record that it was part of.
        case checksum
    }

    private static func append(_ properties: RawSpan, to buffer: ByteBuffer, where isKept: (Kind) -> Bool) {
        var position = 0
        var isFirst = true
        while position < properties.byteCount {
            let end =
                MessageProperties.index(of: PropertyName.propertySeparator, in: properties, from: position)
                ?? properties.byteCount
            let property = properties.extracting(position..<end)
            if property.byteCount > 0, isKept(kind(property)) {
                if !isFirst { buffer.append(PropertyName.propertySeparator) }
                isFirst = false
                buffer.append(property)
            }
            position = end + 1
        }
    }

    private static func kind(_ property: RawSpan) -> Kind {
        guard property.byteCount > 5 else { return .ordinary }
        switch property.byte(at: 0) {
        case UInt8(ascii: "R") where property.starts(with: "REAL_TOPIC\u{1}") || property.starts(with: "REAL_QID\u{1}"):
            return .target
        case UInt8(ascii: "D") where property.starts(with: "DELAY\u{1}"): return .delay
        case UInt8(ascii: "T")
        where property.starts(with: "TIMER_OUT_MS\u{1}") || property.starts(with: "TIMER_WAKE_MS\u{1}"):
            return .wheel
        case UInt8(ascii: "T")
        where property.starts(with: "TIMER_DELIVER_MS\u{1}") || property.starts(with: "TIMER_DELAY_MS\u{1}")
            || property.starts(with: "TIMER_DELAY_SEC\u{1}"):
            return .delay
        case UInt8(ascii: "_") where property.starts(with: "__CRC32#\u{1}"): return .checksum
        default: return .ordinary
        }
    }
}
