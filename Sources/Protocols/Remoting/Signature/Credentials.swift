/// Who sends requests: an access key, which goes with each, and a secret, which does not.
public struct Credentials: Equatable, Sendable, CustomStringConvertible {
    public var accessKey: String
    public var secretKey: String
    /// A token of a temporary account; Apus asks for none.
    public var securityToken: String?

    public init(accessKey: String, secretKey: String, securityToken: String? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.securityToken = securityToken
    }

    /// Without the secret.
    public var description: String { "credentials of \(accessKey)" }

    /// Reads `accessKey: …` and `secretKey: …`, as RocketMQ's `tools.yml` has them, or with `=`, one to a line; lines that begin
    /// with `#` are comments.
    /// - Throws: what is wrong, without the secret.
    public init(parsing text: String) throws(CredentialsError) {
        var values: [String: String] = [:]
        // To Swift a carriage return and a line feed are one character.
        let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        for (index, line) in lines.enumerated() {
            let line = Self.trimmed(line)
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            guard let separator = line.firstIndex(where: { $0 == ":" || $0 == "=" }) else {
                throw CredentialsError("line \(index + 1): expected 'accessKey: …' or 'secretKey: …'")
            }
            let name = String(Self.trimmed(line[..<separator]))
            guard ["accessKey", "secretKey", "securityToken"].contains(name) else {
                throw CredentialsError("line \(index + 1): unknown key '\(name)'")
            }
            values[name] = Self.unquoted(Self.trimmed(line[line.index(after: separator)...]))
        }
        guard let accessKey = values["accessKey"], !accessKey.isEmpty else { throw CredentialsError("no accessKey") }
        guard let secretKey = values["secretKey"], !secretKey.isEmpty else { throw CredentialsError("no secretKey") }
        self.init(accessKey: accessKey, secretKey: secretKey, securityToken: values["securityToken"])
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        var result = text.drop(while: isSpace)
        while let last = result.last, isSpace(last) { result.removeLast() }
        return result
    }

    private static func unquoted(_ text: Substring) -> String {
        guard text.count >= 2, let first = text.first, first == "\"" || first == "'", text.last == first else {
            return String(text)
        }
        return String(text.dropFirst().dropLast())
    }
}

/// Why a text holds no credentials.
public struct CredentialsError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}
