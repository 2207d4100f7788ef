public import Platform

/// Why a bundle cannot be described for another service.
public enum ExportError: StableError, Equatable, Sendable {
    /// A value that the service does not take.
    case value(what: String, why: String)
    /// The bundle is longer than the service takes, bytes.
    case tooLarge(path: String, size: UInt64, limit: UInt64)
    /// The release has no container.
    case noContainers(release: String)
    /// A container's image has no name in any registry.
    case noImage(target: String)
    /// The manifest to add to is none.
    case base(path: String, why: String)
    /// A file cannot be read or written.
    case file(path: String, why: String)

    public var code: String {
        switch self {
        case .value: "export.value"
        case .tooLarge: "export.too-large"
        case .noContainers: "export.no-containers"
        case .noImage: "export.no-image"
        case .base: "export.base"
        case .file: "export.file"
        }
    }

    public var category: ErrorCategory {
        switch self {
        case .value, .noImage, .base, .tooLarge, .noContainers: .configuration
        case .file: .storage
        }
    }

    public var context: String {
        switch self {
        case .value(let what, let why): "\(what): \(why)"
        case .tooLarge(let path, let size, let limit): "\(path) has \(size) bytes, more than \(limit)"
        case .noContainers(let release): "release \(release) has no container"
        case .noImage(let target): "container \(target) has no image name"
        case .base(let path, let why): "\(path) is no deployment manifest: \(why)"
        case .file(let path, let why): "\(path): \(why)"
        }
    }

    public var remedy: String {
        switch self {
        case .value: "Give another value with the option of that name"
        case .tooLarge: "Send the bundle with kedge rollout, which has no limit, or split the release"
        case .noContainers: "Name a bundle with a component of kind container"
        case .noImage: "Name it with --image TARGET=REGISTRY/NAME:TAG, or give --registry"
        case .base: "Give a manifest with modulesContent.$edgeAgent.properties.desired"
        case .file: "Check the path and its permissions"
        }
    }
}
