// swift-tools-version: 6.2

import PackageDescription

// Measuring tools, in a package of their own: whoever builds Ringway neither fetches nor builds what they stand on.
let settings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "ringway-benchmarks",
    products: [
        .executable(name: "ringway-load", targets: ["Load"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
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
    ]
)
