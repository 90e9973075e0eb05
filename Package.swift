// swift-tools-version: 6.2

import PackageDescription

// One set of language settings for every Swift target.
// strictMemorySafety: SE-0458. ExistentialAny: SE-0335. InternalImportsByDefault: SE-0409. MemberImportVisibility: SE-0444.
let settings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

// The arrows between targets. `Tests/TidyTests` holds the same list, and the build checks that no target imports what it
// does not name (`--explicit-target-dependency-import-check error`).
let package = Package(
    name: "ringway",
    products: [
        .executable(name: "ringway", targets: ["CLI"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .systemLibrary(name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
        // Counts heap allocations per thread; linked into the program and into the test bundle.
        .target(name: "CAllocationCounter"),

        // Values both planes speak of: addresses, ports, protocols.
        .target(name: "Addressing", swiftSettings: settings),

        // Data plane: no Foundation, no logging, no Kubernetes.
        .target(name: "Engine", dependencies: ["CLiburing", "CLinux", "Addressing"], swiftSettings: settings),
        .target(name: "Routing", dependencies: ["Addressing"], swiftSettings: settings),
        .target(name: "DNS", dependencies: ["Routing", "Addressing"], swiftSettings: settings),
        .target(name: "Forwarding", dependencies: ["DNS", "Engine", "Routing", "Addressing"], swiftSettings: settings),

        // Control plane: no sockets of the data plane.
        .target(name: "ServiceModel", dependencies: ["Addressing"], swiftSettings: settings),
        .target(name: "ControlPlane", dependencies: ["ServiceModel", "Routing", "Addressing"], swiftSettings: settings),
        .target(name: "ObjectSources", dependencies: ["ServiceModel", "CLinux", "Yams"], swiftSettings: settings),

        // What Services were given, kept across restarts. The only room that speaks SQL.
        .target(name: "StateStore", dependencies: ["ControlPlane", "Addressing", grdb], swiftSettings: settings),

        // Active health checks: what is to be asked comes from the control plane, what was found goes to the data plane.
        .target(
            name: "Probing",
            dependencies: [
                "Routing", "Addressing", .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),

        // Virtual addresses as the host's own: routes over netlink, and what keeps other servers off them.
        .target(name: "HostNetwork", dependencies: ["CLinux", "Addressing"], swiftSettings: settings),

        // Both planes meet here and nowhere else.
        .target(
            name: "AdminServer",
            dependencies: [
                "Addressing", "ControlPlane", "DNS", "Forwarding", "Routing", hummingbird, hummingbirdCore, logging,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "CLI",
            dependencies: [
                "AdminServer", "Addressing", "CAllocationCounter", "ControlPlane", "DNS", "Engine", "Forwarding", "HostNetwork",
                "ObjectSources",
                "Probing", "Routing", "ServiceModel", "StateStore", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),

        // Test support.
        .target(name: "EngineSimulator", dependencies: ["Engine", "Addressing"], path: "Tests/EngineSimulator", swiftSettings: settings),

        // Ends well if a warm worker allocates nothing. A program, because that is a property of optimised code.
        .executableTarget(
            name: "AllocationCheck",
            dependencies: ["DNS", "Forwarding", "Engine", "EngineSimulator", "Routing", "Addressing", "CAllocationCounter"],
            path: "Tests/AllocationCheck", swiftSettings: settings),

        // A whole worker under faults, from seeds; a program, to play many of them in optimised code.
        .executableTarget(
            name: "Simulate", dependencies: ["Forwarding", "Engine", "EngineSimulator", "Routing", "Addressing"],
            path: "Tests/Simulate", swiftSettings: settings),

        // Inputs that nobody would write, for libFuzzer (`Scripts/fuzz`); built like the rest it plays files.
        .executableTarget(
            name: "Fuzz", dependencies: ["ControlPlane", "DNS", "ObjectSources", "ServiceModel", "Routing", "Addressing"],
            path: "Tests/Fuzz",
            exclude: ["corpus"], swiftSettings: settings),

        // Tests, fast first.
        .testTarget(name: "TidyTests", swiftSettings: settings),
        .testTarget(name: "AddressingTests", dependencies: ["Addressing"], swiftSettings: settings),
        .testTarget(name: "RoutingTests", dependencies: ["Routing", "Addressing"], swiftSettings: settings),
        .testTarget(name: "ServiceModelTests", dependencies: ["ServiceModel", "Addressing"], swiftSettings: settings),
        .testTarget(name: "ObjectSourcesTests", dependencies: ["ObjectSources", "ServiceModel"], swiftSettings: settings),
        .testTarget(
            name: "ControlPlaneTests", dependencies: ["ControlPlane", "ServiceModel", "Routing", "Addressing"], swiftSettings: settings),
        .testTarget(
            name: "DNSTests", dependencies: ["DNS", "ControlPlane", "Fuzz", "ObjectSources", "ServiceModel", "Routing", "Addressing"],
            swiftSettings: settings),
        .testTarget(name: "HostNetworkTests", dependencies: ["HostNetwork", "Addressing"], swiftSettings: settings),
        .testTarget(
            name: "StateStoreTests", dependencies: ["StateStore", "ControlPlane", "Addressing", grdb], swiftSettings: settings),
        .testTarget(name: "ProbingTests", dependencies: ["Probing", "Routing", "Addressing"], swiftSettings: settings),
        .testTarget(
            name: "AdminServerTests",
            dependencies: [
                "AdminServer", "Addressing", "ControlPlane", "Forwarding", "Routing", "ServiceModel",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CLITests",
            dependencies: [
                "AdminServer", "Addressing", "CAllocationCounter", "CLI", "ControlPlane", "DNS", "Forwarding", "ObjectSources", "Routing",
                "ServiceModel", "StateStore", logging, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        .testTarget(name: "EngineTests", dependencies: ["Engine", "EngineSimulator", "Addressing"], swiftSettings: settings),
        .testTarget(
            name: "ForwardingTests", dependencies: ["Forwarding", "Engine", "EngineSimulator", "Routing", "Addressing"],
            swiftSettings: settings),
        .testTarget(
            name: "SimulationTests",
            dependencies: [
                "DNS", "Forwarding", "Engine", "EngineSimulator", "Routing", "Addressing", "AllocationCheck", "CAllocationCounter",
                "Simulate",
            ],
            swiftSettings: settings),
        .testTarget(name: "FuzzTests", dependencies: ["Fuzz", "ServiceModel"], swiftSettings: settings),
        .executableTarget(name: "Deny", path: "Tests/Deny"),
        .testTarget(
            name: "EndToEndTests", dependencies: ["Addressing", "CLI", "CLinux", "ControlPlane", "Deny", "Fuzz", "StateStore"],
            swiftSettings: settings),
    ]
)
