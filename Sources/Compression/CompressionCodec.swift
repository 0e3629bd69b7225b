/// How the body of a message is compressed; the number is bits 8 to 10 of its flags (remoting reference §1.8).
public enum CompressionCodec: Int32, Sendable { case zlib = 3, lz4 = 1, zstd = 2 }
