// swift-tools-version: 6.2

import PackageDescription

// Measuring tools, in a package of their own: whoever builds Ringway neither fetches nor builds what they stand on.
let settings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

// Ringway's own rooms, which the component benchmarks measure, by links to the folders of Sources and Tests. They belong to this
// package then, so that their `package` declarations are in reach without a product, or an option that pretends another package's
// name; and Hummingbird with all it brings is not fetched. The arrows are those of Package.swift above.
func room(_ name: String, _ dependencies: [Target.Dependency] = [], folder: String = "Sources") -> Target {
    .target(name: name, dependencies: dependencies, path: "Measured/\(folder)/\(name)", swiftSettings: settings)
}

let package = Package(
    name: "ringway-benchmarks",
    products: [
        .executable(name: "ringway-load", targets: ["Load"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        // Without its traits: they interpose on malloc and on reference counting.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "CEpoll"),
        // The load generator. It shares no code with Ringway: a yardstick must not be made of what it measures.
        .executableTarget(
            name: "Load",
            dependencies: [
                "CEpoll", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LoadTests", dependencies: ["Load", .product(name: "Histogram", package: "hdrhistogram-swift")], swiftSettings: settings),

        // Components one by one: `swift package benchmark`, which looks for programs in the folder Benchmarks. The library's other
        // plugin, which writes the main function, is not used: its tools would be built with every product of this package.
        .executableTarget(
            name: "Components",
            dependencies: [
                "Addressing", "ControlPlane", "Engine", "EngineSimulator", "Forwarding", "ObjectSources", "Routing", "ServiceModel",
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Components", swiftSettings: settings),

        .systemLibrary(
            name: "CLiburing", path: "Measured/Sources/CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .target(name: "CLinux", path: "Measured/Sources/CLinux", cSettings: [.define("_GNU_SOURCE")]),
        room("Addressing"),
        room("Engine", ["CLiburing", "CLinux", "Addressing"]),
        room("Routing", ["Addressing"]),
        room("DNS", ["Routing", "Addressing"]),
        room("Forwarding", ["DNS", "Engine", "Routing", "Addressing"]),
        room("ServiceModel", ["Addressing"]),
        room("ControlPlane", ["ServiceModel", "Routing", "Addressing"]),
        room("ObjectSources", ["ServiceModel", "CLinux", "Yams"]),
        room("EngineSimulator", ["Engine", "Addressing"], folder: "Tests"),
    ]
)
