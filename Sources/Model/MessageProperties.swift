import Bytes
import Glibc

/// Reads the property string of a message in place: `name \u{1} value \u{2} name \u{1} value`, with or without a last `\u{2}`
/// (reference §1.8).
public enum MessageProperties {
    /// The range of the value of the first property called `name`, or nil.
    @inlinable
    public static func valueRange(of name: StaticString, in properties: RawSpan) -> Range<Int>? {
        var position = 0
        let length = name.utf8CodeUnitCount
        while position < properties.byteCount {
            let end = index(of: PropertyName.propertySeparator, in: properties, from: position) ?? properties.byteCount
            let separator = position + length
            if separator < end, properties.byte(at: separator) == PropertyName.nameSeparator,
                properties.extracting(position..<separator).equals(name)
            {
                return separator + 1..<end
            }
            position = end + 1
        }
        return nil
    }

    /// Calls `body` with the ranges of each name and value, in order. Parts without a separator are passed over.
    @inlinable
    public static func forEach(in properties: RawSpan, _ body: (_ name: Range<Int>, _ value: Range<Int>) -> Void) {
        var position = 0
        while position < properties.byteCount {
            let end = index(of: PropertyName.propertySeparator, in: properties, from: position) ?? properties.byteCount
            if let separator = index(of: PropertyName.nameSeparator, in: properties, from: position), separator < end {
                body(position..<separator, separator + 1..<end)
            }
            position = end + 1
        }
    }

    /// All properties, in order.
    public static func decode(_ properties: RawSpan) -> [(name: String, value: String)] {
        var result: [(name: String, value: String)] = []
        forEach(in: properties) { name, value in
            result.append((properties.extracting(name).string(), properties.extracting(value).string()))
        }
        return result
    }

    /// Appends the properties as clients of 4.9 write them: no separator after the last.
    public static func encode(_ properties: some Sequence<(name: String, value: String)>, to buffer: ByteBuffer) {
        var isFirst = true
        for (name, value) in properties {
            if !isFirst { buffer.append(PropertyName.propertySeparator) }
            isFirst = false
            buffer.append(utf8: name)
            buffer.append(PropertyName.nameSeparator)
            buffer.append(utf8: value)
        }
    }

    @inlinable
    public static func index(of byte: UInt8, in span: RawSpan, from start: Int) -> Int? {
        span.withUnsafeBytes { bytes in
            guard start < bytes.count, let base = bytes.baseAddress,
                // SAFETY: memchr looks at no more than the bytes from `start` to the end of the span.
                let found = memchr(base + start, Int32(byte), bytes.count - start)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }
}
