// Who may connect, and who may do what. Names of RocketMQ where it has them: the TLS ones are system properties there, and those
// of `tls.properties`.

extension Setting {
    private static let any: Roles = .any

    static let security: [Setting] = [
        Setting(
            "tls.server.mode", .choice(["disabled", "permissive", "enforcing"]), "permissive", in: any,
            flag: "tls-mode",
            "Whether clients may use TLS, on the same port: permissive takes both, told apart by the first byte; enforcing takes "
                + "TLS only, and is what this process uses towards other servers too. Without tls.server.certPath there is no TLS."
        ),
        Setting(
            "tls.server.certPath", .text, "", in: any, flag: "tls-certificate",
            "File of the server's certificate, and of those that lead to a root (PEM). Read again when it changes, and on SIGHUP."
        ),
        Setting("tls.server.keyPath", .text, "", in: any, flag: "tls-key", "File of the certificate's key (PEM)."),
        Setting(
            "tls.server.keyPassword", .secret, "", in: any,
            "Password of the key. Better set by environment than in a file."),
        Setting(
            "tls.server.need.client.auth", .choice(["none", "optional", "require"]), "none", in: any,
            "Whether clients must show a certificate that leads to tls.server.trustCertPath."),
        Setting(
            "tls.server.trustCertPath", .text, "", in: any, flag: "tls-client-trust",
            "File of the roots that client certificates must lead to (PEM)."),
        Setting(
            "tlsHandshakeTimeout", .duration(.milliseconds, 100...600_000), "10000", in: any,
            "A client that has not finished its handshake by then is closed. Not RocketMQ's."),
        Setting(
            "tlsHandshakeShare", .integer(1...100), "15", in: any,
            "Percent of a process's loop that TLS handshakes may take; what comes faster waits for its turn, up to "
                + "tlsHandshakeTimeout. Not RocketMQ's."),
        Setting(
            "maximumTlsHandshakes", .integer(1...65_536), "1024", in: any,
            "TLS handshakes under way and waiting; further ones are closed at once. Each may take 128 KiB. Not RocketMQ's."
        ),
        Setting(
            "maximumTlsHandshakesPerAddress", .integer(1...65_536), "256", in: any,
            "The same from one address; from those of this machine only with limitsLoopback. Not RocketMQ's."),
        Setting(
            "tls.enable", .boolean, "false",
            "The broker uses TLS towards name servers and other brokers; it does so too when tls.server.mode is enforcing."
        ),
        Setting(
            "tls.client.trustCertPath", .text, "",
            "File of the roots that their certificates must lead to (PEM); empty checks nothing, as in RocketMQ."),
        Setting(
            "tls.client.certPath", .text, "",
            "File of the certificate that the broker shows to servers that ask for one; empty shows the server's own."),
        Setting("tls.client.keyPath", .text, "", "File of that certificate's key (PEM)."),
        Setting("tls.client.keyPassword", .secret, "", "Password of that key."),
        Setting(
            "aclEnable", .boolean, "false", in: any,
            "Access control: every request to a broker must be signed by an account of aclFile, and allowed to it."),
        Setting(
            "aclFile", .text, "", in: any, flag: "acl-file",
            "File of accounts and permissions, in the format of RocketMQ's plain_acl.yml. Read again when it changes, and on "
                + "SIGHUP. RocketMQ has a system property for it."),
        Setting(
            "credentialsFile", .text, "",
            "File with accessKey and secretKey lines, of an admin account, for the broker's requests to other brokers when "
                + "they have access control. Not RocketMQ's."),
        Setting(
            "allowRemoteAdministration", .boolean, "false", in: any,
            "Without access control: takes requests that change topics, groups, offsets or settings from other machines too. "
                + "RocketMQ always does. With access control such requests need an admin account wherever they come from."
        ),
    ]
}
