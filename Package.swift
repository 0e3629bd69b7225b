// swift-tools-version: 6.2
import PackageDescription

// The rooms of Apus, lowest layer first. A room may import only the rooms that its row names;
// Tests/TidyTests compares every `import` line with this table. Read docs/ARCHITECTURE.md for what each holds.

/// One target: its name, the folder under `Sources/`, its layer, and the rooms it may import.
struct Room {
    let name: String
    let path: String
    let layer: Int
    let imports: [String]
    init(_ layer: Int, _ name: String, path: String? = nil, imports: [String] = []) {
        self.name = name
        self.path = "Sources/" + (path ?? name)
        self.layer = layer
        self.imports = imports
    }
}

let rooms: [Room] = [
    Room(1, "Base"),
    Room(1, "Bytes", imports: ["Base", "CISAL", "CProcessor"]),
    Room(1, "Compression", imports: ["Bytes", "CCompression"]),
    Room(1, "Telemetry", imports: ["Base"]),
    Room(2, "Runtime", imports: ["Base", "Bytes", "Telemetry", "CLibuv", "COpenSSL"]),
    Room(3, "Model", imports: ["Base", "Bytes"]),
    Room(4, "Storage", imports: ["Base", "Bytes", "Telemetry", "Model"]),
    Room(
        5, "RemotingProtocol", path: "Protocols/Remoting",
        imports: ["Base", "Bytes", "Model", "Compression", "COpenSSL"]),
    Room(6, "BrokerCore", imports: ["Base", "Bytes", "Telemetry", "Model", "Storage"]),
    Room(6, "NameService", imports: ["Base", "Bytes", "Telemetry", "Model"]),
    Room(
        7, "RemotingFrontend", path: "Frontends/Remoting",
        imports: [
            "Base", "Bytes", "Telemetry", "Runtime", "Model", "RemotingProtocol", "BrokerCore", "NameService",
            "Storage",
        ]),
    Room(
        7, "ApusClient",
        imports: ["Base", "Bytes", "Telemetry", "Runtime", "Model", "RemotingProtocol", "Compression"]),
    Room(
        8, "Administration",
        imports: ["Base", "Bytes", "Telemetry", "Runtime", "Model", "RemotingProtocol", "ApusClient"]),
    Room(
        9, "Server",
        imports: [
            "Base", "Bytes", "Telemetry", "Runtime", "Model", "Storage", "RemotingProtocol", "BrokerCore",
            "NameService", "RemotingFrontend",
        ]),
    Room(
        9, "Simulation",
        imports: [
            "Base", "Bytes", "Telemetry", "Model", "Storage", "RemotingProtocol", "BrokerCore", "NameService",
            "RemotingFrontend",
        ]),
]

/// C libraries from Debian: module map folder under `Sources/C`, pkg-config name, package. CProcessor is a header of our own.
let systemLibraries: [Target] = [
    .systemLibrary(name: "CLibuv", path: "Sources/C/CLibuv", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
    .systemLibrary(name: "CISAL", path: "Sources/C/CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
    .systemLibrary(name: "CProcessor", path: "Sources/C/CProcessor"),
    .systemLibrary(
        name: "COpenSSL", path: "Sources/C/COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(
        name: "CCompression", path: "Sources/C/CCompression",
        providers: [.apt(["zlib1g-dev", "liblz4-dev", "libzstd-dev"])]
    ),
]

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

let testSuites: [(name: String, imports: [String])] = [
    ("BaseTests", ["Base"]),
    ("BytesTests", ["Base", "Bytes"]),
    ("TelemetryTests", ["Base", "Telemetry"]),
    ("ModelTests", ["Base", "Bytes", "Model"]),
    ("CompressionTests", ["Base", "Bytes", "Compression"]),
    ("RuntimeTests", ["Base", "Bytes", "Telemetry", "Runtime"]),
    ("StorageTests", ["Base", "Bytes", "Telemetry", "Model", "Storage", "Simulation", "Runtime"]),
    ("RemotingProtocolTests", ["Base", "Bytes", "Model", "RemotingProtocol", "Compression"]),
    ("NameServiceTests", ["Base", "Bytes", "Telemetry", "Model", "NameService"]),
    ("BrokerCoreTests", ["Base", "Bytes", "Telemetry", "Model", "Storage", "BrokerCore", "Simulation"]),
    (
        "RemotingFrontendTests",
        [
            "Base", "Bytes", "Telemetry", "Model", "Runtime", "RemotingProtocol", "BrokerCore", "NameService",
            "Storage",
            "RemotingFrontend", "Simulation",
        ]
    ),
    (
        "ApusClientTests",
        [
            "Base", "Bytes", "Telemetry", "Model", "Runtime", "Compression", "RemotingProtocol", "ApusClient",
            "Storage", "BrokerCore", "NameService", "RemotingFrontend",
        ]
    ),
    (
        "AdministrationTests",
        ["Base", "Bytes", "Telemetry", "Model", "Runtime", "RemotingProtocol", "ApusClient", "Administration"]
    ),
    (
        "ServerTests",
        [
            "Base", "Bytes", "Telemetry", "Model", "Storage", "BrokerCore", "RemotingProtocol", "RemotingFrontend",
            "Server", "Administration", "Simulation",
        ]
    ),
    ("SimulationTests", ["Base", "Bytes", "Telemetry", "Model", "Storage", "BrokerCore", "Simulation"]),
    (
        "FuzzTests",
        [
            "Base", "Bytes", "Telemetry", "Model", "Compression", "RemotingProtocol", "Storage", "BrokerCore",
            "NameService", "RemotingFrontend", "Simulation",
        ]
    ),
    ("TidyTests", []),
]

func dependencies(_ names: [String]) -> [Target.Dependency] { names.map { .byName(name: $0) } }

let package = Package(
    name: "apus",
    products: [
        .library(name: "ApusClient", targets: ["ApusClient"]),
        .executable(name: "apus", targets: ["apus"]),
        .executable(name: "apus-sim", targets: ["apus-sim"]),
    ],
    targets: systemLibraries
        + rooms.map { room in
            .target(
                name: room.name, dependencies: dependencies(room.imports), path: room.path, swiftSettings: settings)
        }
        + testSuites.map { suite in
            .testTarget(
                name: suite.name, dependencies: dependencies(suite.imports), path: "Tests/" + suite.name,
                swiftSettings: settings)
        }
        + [
            .executableTarget(
                name: "apus", dependencies: dependencies(["Base", "Telemetry", "Storage", "Server", "Administration"]),
                path: "Sources/apus", swiftSettings: settings),
            .executableTarget(
                name: "apus-sim", dependencies: dependencies(["Simulation"]), path: "Sources/apus-sim",
                swiftSettings: settings),
        ]
)
