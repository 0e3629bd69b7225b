import Glibc
import Testing

@testable import Runtime

/// Keys and certificates for one test, made by the `openssl` command in a folder of the test.
struct TestCertificates {
    let folder: String

    /// Makes a root of its own.
    init(in folder: String) throws {
        self.folder = folder
        try Self.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=root "
                + "-keyout \(folder)/root.key -out \(folder)/root.pem")
    }

    var root: String { folder + "/root.pem" }

    /// Makes `name.pem` and `name.key`, signed by the root.
    /// - Parameters:
    ///   - names: what the certificate names, as OpenSSL spells it.
    ///   - days: below 0 it has expired.
    @discardableResult
    func make(_ name: String, names: String = "DNS:localhost,IP:127.0.0.1", days: Int = 2) throws
        -> TLSServerConfiguration
    {
        let base = "\(folder)/\(name)"
        try Self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name) -keyout \(base).key -out \(base).csr"
        )
        let extensions = try #require(fopen(base + ".ext", "w"))
        fputs("subjectAltName=\(names)\n", extensions)
        fclose(extensions)
        try Self.openssl(
            "x509 -req -in \(base).csr -CA \(root) -CAkey \(folder)/root.key -CAcreateserial -days \(days) "
                + "-extfile \(base).ext -out \(base).pem")
        return TLSServerConfiguration(certificatePath: base + ".pem", keyPath: base + ".key")
    }

    /// A client that believes this root.
    func client(checksName: Bool = true, showing name: String? = nil) throws -> TLSContext {
        var configuration = TLSClientConfiguration()
        configuration.trustPath = root
        configuration.checksServerName = checksName
        if let name {
            configuration.certificatePath = "\(folder)/\(name).pem"
            configuration.keyPath = "\(folder)/\(name).key"
        }
        return try TLSContext(client: configuration)
    }

    private static func openssl(_ words: String) throws {
        let process = try #require(popen("openssl \(words) 2>&1", "r"))
        var said = ""
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, 512, process) != nil {
            said += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        try #require(pclose(process) == 0, "openssl \(words): \(said)")
    }
}
