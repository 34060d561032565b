// swift-tools-version: 6.0

import PackageDescription

let package = Package(
    name: "RecognizerKit",
    platforms: [.iOS(.v18), .macOS(.v14)],
    products: [
        .library(name: "RecognizerKit", targets: ["RecognizerKit"])
    ],
    targets: [
        .target(name: "RecognizerKit"),
        .testTarget(name: "RecognizerKitTests", dependencies: ["RecognizerKit"]),
    ]
)
