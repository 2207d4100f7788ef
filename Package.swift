// swift-tools-version:6.2
import PackageDescription

// Two graphs that meet only in BundleFormat and Trust: the device never links the packager.
//
// KEDGE_EMBEDDED=1  builds the device graph with Embedded Swift (as the ARM builds do).
// KEDGE_GRAPH=device leaves the host graph and its packages out.
let embedded = Context.environment["KEDGE_EMBEDDED"] == "1"
let deviceOnly = embedded || Context.environment["KEDGE_GRAPH"] == "device"

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]
let device: [SwiftSetting] =
    strict
    + (embedded
        ? [
            .enableExperimentalFeature("Embedded"),
            // Without the pass that makes array literals static objects: every module that a function is inlined into
            // numbers them anew under the same weak symbols, and the linker keeps one module's. A switch then
            // returns another case's array.
            .unsafeFlags([
                "-wmo", "-Osize", "-Xfrontend", "-function-sections", "-Xllvm", "-sil-disable-pass=object-outliner",
            ]),
        ] : [])
/// Tests may use unsafe C interoperation freely; everything else stays on.
let testing: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

func deviceTarget(_ name: String, _ dependencies: [Target.Dependency], _ more: [SwiftSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: device + more)
}

/// Seams through which tests make calls fail: only in debug builds.
let faults: [SwiftSetting] = [.define("KEDGE_FAULTS", .when(configuration: .debug))]

// From the ground up; a target may depend only on those above it.
var targets: [Target] = [
    .target(name: "CDevice"),
    // Loads tpm2-tss at run time; needs nothing of it to link.
    .target(name: "CTPM", linkerSettings: [.linkedLibrary("dl")]),
    // Only libcurl's declarations: CCurlLoader loads the library when it is first needed.
    .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .target(name: "CCurlLoader", linkerSettings: [.linkedLibrary("dl")]),
    // Loads libmosquitto at run time, where a hub is talked to; needs nothing of it to link.
    .target(name: "CMosquitto", linkerSettings: [.linkedLibrary("dl")]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CInih", pkgConfig: "inih", providers: [.apt(["libinih-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    deviceTarget("Platform", ["CDevice", "CInih"]),
    deviceTarget("StrictJSON", ["Platform", "CJansson"]),
    deviceTarget("BundleFormat", ["Platform", "StrictJSON", "COpenSSL", "CXXHash"]),
    deviceTarget("Trust", ["BundleFormat", "Platform", "StrictJSON", "COpenSSL"]),
    // Always optimized: its loops run over every differing bit. Its coder is one for packager and device.
    deviceTarget("DifferenceCoding", ["Platform"], [.unsafeFlags(["-O"])]),
    deviceTarget("Payload", ["BundleFormat", "DifferenceCoding", "Trust", "Platform", "CZstd"]),
    deviceTarget("Transfer", ["BundleFormat", "Platform", "CCurl", "CCurlLoader"], faults),
    deviceTarget("Slots", ["BundleFormat", "Payload", "Platform", "StrictJSON"]),
    deviceTarget("BootControl", ["BundleFormat", "Platform"]),
    deviceTarget("Floors", ["BundleFormat", "CTPM", "Platform"]),
    deviceTarget(
        "UpdateEngine",
        [
            "BootControl", "BundleFormat", "Floors", "Payload", "Platform", "Slots", "StrictJSON", "Transfer", "Trust",
        ]),
    deviceTarget("Messaging", ["CMosquitto", "Platform"]),
    deviceTarget(
        "DeviceTwin", ["BundleFormat", "COpenSSL", "Floors", "Platform", "StrictJSON", "Trust", "UpdateEngine"]),
    deviceTarget(
        "DeviceService",
        [
            "BootControl", "BundleFormat", "DeviceTwin", "Floors", "Messaging", "Payload", "Platform", "Slots",
            "StrictJSON", "Transfer", "Trust", "UpdateEngine",
        ]),
    .executableTarget(name: "kedged", dependencies: ["DeviceService", "Platform"], swiftSettings: device),
]
var dependencies: [Package.Dependency] = []
var products: [Product] = [.executable(name: "kedged", targets: ["kedged"])]

if !deviceOnly {
    dependencies = [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ]
    products.append(.executable(name: "kedge", targets: ["kedge"]))
    products.append(.executable(name: "iothub-emulator", targets: ["iothub-emulator"]))
    targets += [
        .systemLibrary(
            name: "CDivSufSort", pkgConfig: "libdivsufsort", providers: [.apt(["libdivsufsort-dev"])]),
        // Always optimized: its loops run over every byte of images, and tests build some.
        .target(
            name: "DeltaEncoding",
            dependencies: ["BundleFormat", "CDivSufSort", "CZstd", "DifferenceCoding", "Platform"],
            swiftSettings: strict + [.unsafeFlags(["-O"])]),
        .target(
            name: "Signing",
            dependencies: ["BundleFormat", "COpenSSL", "Platform", "StrictJSON", "Trust"],
            swiftSettings: strict),
        .target(
            name: "Packaging",
            dependencies: [
                "BundleFormat", "COpenSSL", "CZstd", "DeltaEncoding", "Payload", "Platform", "Signing", "StrictJSON",
                "Transfer",
                "Trust", .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict),
        .target(
            name: "FactoryImage",
            dependencies: [
                "BootControl", "BundleFormat", "Packaging", "Payload", "Platform", "Slots", "StrictJSON", "Trust",
            ],
            swiftSettings: strict),
        .target(
            name: "Simulation",
            dependencies: [
                "BootControl", "BundleFormat", "DeviceService", "FactoryImage", "Floors", "Packaging", "Payload",
                "Platform", "Signing", "Slots", "StrictJSON", "Transfer", "Trust", "UpdateEngine",
            ],
            swiftSettings: strict),
        // A local IoT Hub for developers and tests. It shares no code with the device's client: each checks the other.
        .target(
            name: "HubEmulation",
            dependencies: ["COpenSSL", "Platform", "StrictJSON"],
            swiftSettings: strict,
            linkerSettings: [.linkedLibrary("ssl")]),
        .executableTarget(
            name: "iothub-emulator",
            dependencies: [
                "HubEmulation", "Platform", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        // Bundles in the words of other services.
        .target(
            name: "CloudExport", dependencies: ["BundleFormat", "Packaging", "Platform", "StrictJSON"],
            swiftSettings: strict),
        // Releases to fleets: the service side of an IoT Hub.
        .target(
            name: "FleetRollout",
            dependencies: ["BundleFormat", "CCurl", "CCurlLoader", "Platform", "StrictJSON"],
            swiftSettings: strict),
        .executableTarget(
            name: "kedge",
            dependencies: [
                "BundleFormat", "CloudExport", "DeviceService", "FactoryImage", "FleetRollout", "Packaging", "Platform",
                "Signing", "Simulation", "StrictJSON", "Trust",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
    ]
}

func testTarget(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    let names = ["BundleFormat", "Platform", "StrictJSON"].filter { $0 != name } + [name]
    return .testTarget(
        name: name + "Tests", dependencies: names.map { .byName(name: $0) } + dependencies,
        exclude: exclude, swiftSettings: testing)
}

if !embedded {
    targets += [
        // What several test targets share: servers that misbehave, and the tables that tools/test prints.
        .target(
            name: "TestSupport", dependencies: ["Platform"], path: "Tests/TestSupport",
            exclude: ["connection-cutter.py", "hostile-server.py", "port-forwarder.py", "simulated-fleet.py"],
            swiftSettings: testing),
        testTarget("Platform"),
        testTarget("StrictJSON"),
        testTarget("BundleFormat"),
        testTarget("Trust", ["COpenSSL"]),
        testTarget("DifferenceCoding"),
        testTarget("Payload", ["CZstd", "Trust"]),
        testTarget("Transfer", ["TestSupport"]),
        testTarget("Slots", ["Payload"]),
        testTarget("BootControl", ["TestSupport"]),
        testTarget("Floors"),
        testTarget("DeviceTwin", ["BootControl", "Floors", "Trust", "UpdateEngine"]),
        testTarget("DeviceService", ["BootControl", "Floors", "Slots", "Transfer", "UpdateEngine"]),
    ]
}
if !deviceOnly {
    targets += [
        // The engine is tested with bundles that the packager builds and signs.
        testTarget(
            "UpdateEngine",
            ["BootControl", "Floors", "Packaging", "Payload", "Signing", "Slots", "TestSupport", "Transfer", "Trust"]),
        testTarget("Signing", ["Trust"]),
        testTarget("Packaging", ["Signing", "Trust"]),
        testTarget("FactoryImage", ["BootControl", "Packaging", "Signing", "Slots", "Trust"]),
        testTarget("CloudExport"),
        testTarget("FleetRollout"),
        testTarget("Simulation", ["BootControl", "FactoryImage", "TestSupport"]),
        .testTarget(
            name: "HubEmulationTests",
            dependencies: ["HubEmulation", "Platform", "StrictJSON", "TestSupport", "iothub-emulator"],
            exclude: ["official-clients.py"], swiftSettings: testing),
        // Whole commands, as their users run them: the built kedge and kedged, real images, real servers.
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "kedge", "kedged", "iothub-emulator", "BootControl", "BundleFormat", "Platform", "StrictJSON",
                "TestSupport",
            ],
            exclude: ["hub-service.py", "independent-hub.py"], swiftSettings: testing),
    ]
}

let package = Package(
    name: "kedge",
    products: products,
    dependencies: dependencies,
    targets: targets,
    cxxLanguageStandard: .cxx17
)
