import Bytes

/// Signs the requests that a ``CommandWriter`` writes. Owned by one thread.
public final class RequestSigner {
    let credentials: Credentials
    private let key: SigningKey
    private let header = CommandHeader()
    /// A copy of the header under way, since reading JSON replaces escapes in place.
    private let scratch = ByteBuffer()

    /// - Returns: nil when this OpenSSL has no HMAC-SHA1.
    public init?(_ credentials: Credentials) {
        guard let key = SigningKey(secret: credentials.secretKey) else { return nil }
        self.credentials = credentials
        self.key = key
    }

    /// Signs the frame that begins at `start` of `buffer` and ends with it, and writes the signature to `place` there.
    ///
    /// ``CommandWriter`` does that for what it writes. Who changes such a frame afterwards signs it again.
    /// - Parameters:
    ///   - headerEnd: where the body begins.
    ///   - place: where the value of the field `Signature` stands; ``SigningKey/signatureSize`` bytes.
    public func sign(_ buffer: ByteBuffer, from start: Int, headerEnd: Int, encoding: HeaderEncoding, place: Int) {
        scratch.removeAll()
        let headerSize = headerEnd - start - Frame.prefixSize
        scratch.append(buffer.bytes.extracting(start..<headerEnd))
        let frame = Frame(
            range: 0..<headerEnd - start, header: Frame.prefixSize..<Frame.prefixSize + headerSize,
            body: headerEnd - start..<headerEnd - start, encoding: encoding)
        do throws(HeaderError) { try header.decode(frame, in: scratch) } catch {
            preconditionFailure("a header that was just written cannot be read: \(error)")
        }
        let end = buffer.count
        buffer.withUnsafeMutableBytes { bytes in
            let body = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[headerEnd..<end]))
            let scratch = scratch
            key.sign(
                header, in: scratch.bytes, body: body,
                to: UnsafeMutableRawBufferPointer(rebasing: bytes[place..<place + SigningKey.signatureSize]))
        }
    }
}
