import Bytes
import COpenSSL

/// A secret, ready to sign requests with (remoting reference §1.12):
///
///     Signature = base64(HMAC-SHA1(secret, the values of all fields in the order of their names, then the body))
///
/// Without the field `Signature`. `_UNIQUE_KEY_QUERY`, which only queries for messages have, is not signed by Java clients up to
/// 4.9.3 and signed by those since 4.9.4; RocketMQ's own brokers of 4.9 refuse the latter. Of a field that comes twice the last
/// value counts, as everywhere. Owned by one thread.
public final class SigningKey {
    private let hmac: OpaquePointer
    /// Positions in the header's fields, in the order of their names.
    private var order = ContiguousArray<Int>()
    private let text: UnsafeMutablePointer<UInt8>

    /// Base64 of the 20 bytes of SHA-1.
    public static let signatureSize = 28
    private static let digestSize = 20

    /// - Returns: nil when this OpenSSL has no HMAC-SHA1.
    public init?(secret: String) {
        let bytes = Array(secret.utf8)
        guard let hmac = apus_hmac_sha1(bytes, bytes.count) else { return nil }
        self.hmac = hmac
        text = .allocate(capacity: Self.signatureSize + 1)
        text.initialize(repeating: 0, count: Self.signatureSize + 1)
    }

    deinit {
        EVP_MAC_CTX_free(hmac)
        text.deallocate()
    }

    /// Whether the request is signed with this secret, with or without `_UNIQUE_KEY_QUERY`. Takes the same time whichever byte of
    /// the signature is wrong.
    /// - Parameter body: position in `span`, as those of the fields.
    public func verifies(_ header: CommandHeader, body: Range<Int>, in span: RawSpan) -> Bool {
        guard let signature = header.value("Signature", in: span), signature.count == Self.signatureSize else {
            return false
        }
        sign(header, in: span, body: span.extracting(body))
        if isText(span.extracting(signature)) { return true }
        guard header.value("_UNIQUE_KEY_QUERY", in: span) != nil else { return false }
        sign(header, in: span, body: span.extracting(body), withUniqueKeyQuery: true)
        return isText(span.extracting(signature))
    }

    private func isText(_ signature: RawSpan) -> Bool {
        signature.withUnsafeBytes { CRYPTO_memcmp($0.baseAddress, text, $0.count) == 0 }
    }

    /// Writes the signature of a request to `place`, which has ``signatureSize`` bytes.
    func sign(_ header: CommandHeader, in span: RawSpan, body: RawSpan, to place: UnsafeMutableRawBufferPointer) {
        sign(header, in: span, body: body)
        place.copyMemory(from: UnsafeRawBufferPointer(start: text, count: Self.signatureSize))
    }

    /// Leaves the signature in `text`.
    private func sign(_ header: CommandHeader, in span: RawSpan, body: RawSpan, withUniqueKeyQuery: Bool = false) {
        EVP_MAC_init(hmac, nil, 0, nil)
        span.withUnsafeBytes { bytes in
            sort(header.fields, bytes, withUniqueKeyQuery)
            for (index, position) in order.enumerated() {
                let isLast = index + 1 == order.count
                if !isLast, Self.order(header.fields[position], header.fields[order[index + 1]], bytes) == 0 {
                    continue
                }
                update(UnsafeRawBufferPointer(rebasing: bytes[header.fields[position].value]))
            }
        }
        body.withUnsafeBytes { update($0) }
        var digest: (UInt64, UInt64, UInt32) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digest) { bytes in
            var size = 0
            EVP_MAC_final(hmac, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), &size, Self.digestSize)
            EVP_EncodeBlock(text, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(Self.digestSize))
        }
    }

    private func update(_ bytes: UnsafeRawBufferPointer) {
        EVP_MAC_update(hmac, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    // MARK: - The order of fields

    /// Fills `order`. Requests have about ten fields, often sorted already; of a stranger's thousands the quick sort of the
    /// library takes care.
    private func sort(
        _ fields: ContiguousArray<CommandHeader.Field>, _ bytes: UnsafeRawBufferPointer, _ withUniqueKeyQuery: Bool
    ) {
        order.removeAll(keepingCapacity: true)
        for index in fields.indices where Self.isSigned(fields[index], bytes, withUniqueKeyQuery) {
            order.append(index)
        }
        guard order.count <= Self.insertionMaximum else {
            order.sort {
                let difference = Self.order(fields[$0], fields[$1], bytes)
                return difference < 0 || difference == 0 && $0 < $1
            }
            return
        }
        var end = 1
        while end < order.count {
            let inserted = order[end]
            var place = end
            while place > 0, Self.order(fields[order[place - 1]], fields[inserted], bytes) > 0 {
                order[place] = order[place - 1]
                place -= 1
            }
            order[place] = inserted
            end += 1
        }
    }

    private static let insertionMaximum = 64

    /// As `strcmp` of the names: Java compares UTF-16, which differs only for names that nobody uses.
    private static func order(
        _ a: CommandHeader.Field, _ b: CommandHeader.Field, _ bytes: UnsafeRawBufferPointer
    ) -> Int {
        let first = a.key
        let second = b.key
        for index in 0..<min(first.count, second.count) {
            let difference = Int(bytes[first.lowerBound + index]) - Int(bytes[second.lowerBound + index])
            if difference != 0 { return difference }
        }
        return first.count - second.count
    }

    private static func isSigned(
        _ field: CommandHeader.Field, _ bytes: UnsafeRawBufferPointer, _ withUniqueKeyQuery: Bool
    ) -> Bool {
        !equals(bytes, field.key, "Signature")
            && (withUniqueKeyQuery || !equals(bytes, field.key, "_UNIQUE_KEY_QUERY"))
    }

    private static func equals(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ name: StaticString) -> Bool {
        guard range.count == name.utf8CodeUnitCount else { return false }
        for index in 0..<range.count where bytes[range.lowerBound + index] != name.utf8Start[index] { return false }
        return true
    }
}
