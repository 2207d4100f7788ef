public import BootControl
public import Platform

/// Why a gateway directory cannot be made or used.
public enum GatewayError: StableError, Equatable, Sendable {
    /// The directory is there and holds something.
    case notEmpty(path: String)
    /// The path cannot be written into device.ini.
    case path(String)
    /// No gateway directory made by `kedge gateway create`, or one that was tampered with.
    case notAGateway(path: String, why: String)
    /// A disk layout that cannot be.
    case layout(path: String, why: String)
    /// A size that the layout cannot have.
    case size(what: String, why: String)
    /// An identity value that device.ini cannot hold.
    case identity(what: String, why: String)
    /// The release is for other devices.
    case product(release: String, wants: String)
    /// A release can only be put on a gateway that has a trust store.
    case noTrust
    /// A component of the release names a slot that the gateway does not have.
    case noSlot(component: String, target: String)
    /// A program that is needed is not there or failed.
    case tool(name: String, why: String)
    /// Loop devices were asked for but cannot be used.
    case loop(why: String)
    /// A foreign file in a gateway directory.
    case foreign(path: String)
    case boot(BootError)
    case system(SystemError)
    /// The release could not be read or written.
    case release(Failure)

    public var code: String {
        switch self {
        case .notEmpty: "gateway.not-empty"
        case .path: "gateway.path"
        case .notAGateway: "gateway.not-a-gateway"
        case .layout: "image.layout"
        case .size: "gateway.size"
        case .identity: "gateway.identity"
        case .product: "gateway.product"
        case .noTrust: "gateway.no-trust"
        case .noSlot: "gateway.no-slot"
        case .tool: "gateway.tool"
        case .loop: "gateway.loop"
        case .foreign: "gateway.foreign"
        case .boot(let error): error.code
        case .system(let error): error.code
        case .release(let failure): failure.code
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .notEmpty, .path, .size, .identity, .noTrust: .usage
        case .notAGateway, .noSlot, .layout: .configuration
        case .product: .policy
        case .tool, .loop, .foreign: .storage
        case .boot(let error): error.category
        case .system(let error): error.category
        case .release(let failure): failure.category
        }
    }
    public var context: String {
        switch self {
        case .notEmpty(let path): "\(path) is not an empty directory"
        case .path(let path): "the path \(path) holds a space or one of ; # = \" ' \\ or a control character"
        case .notAGateway(let path, let why): "\(path) is not a gateway directory: \(why)"
        case .layout(let path, let why): "\(path): \(why)"
        case .size(let what, let why): "the size of \(what) \(why)"
        case .identity(let what, let why): "the \(what) \(why)"
        case .product(let release, let wants): "the release \(release) is for \(wants)"
        case .noTrust: "a release needs a trust store that says who may sign it"
        case .noSlot(let component, let target):
            "component \(component) is for the slot \(target), which this gateway does not have"
        case .tool(let name, let why): "\(name): \(why)"
        case .loop(let why): "loop devices cannot be used: \(why)"
        case .foreign(let path): "\(path) was not made by kedge"
        case .boot(let error): error.context
        case .system(let error): error.context
        case .release(let failure): failure.context
        }
    }
    public var remedy: String {
        switch self {
        case .notEmpty: "Name a directory that does not exist yet, or destroy the gateway in it"
        case .path: "Name a directory without these characters"
        case .notAGateway: "Name a directory made by kedge gateway create"
        case .layout: "Correct the layout; kedge image --help shows one"
        case .size: "Give another size"
        case .identity: "Give another value"
        case .product: "Leave vendor, class and hardware out, then the gateway becomes what the release is for"
        case .noTrust: "Give the root.json with --trust"
        case .noSlot: "Use a target that the gateway has: rootfs, kernel, bios or containers"
        case .tool: "Install it (Debian: sfdisk is in fdisk, losetup in mount) and try again"
        case .loop: "Use --media file, which needs no privileges"
        case .foreign: "Move it away, then destroy the gateway again"
        case .boot(let error): error.remedy
        case .system(let error): error.remedy
        case .release(let failure): failure.remedy
        }
    }
}

extension SystemError {
    /// The same error as one of this module.
    var gateway: GatewayError { .system(self) }
}

/// Runs `body` and gives its failed system calls as errors of this module.
func asGateway<Result>(_ body: () throws(SystemError) -> Result) throws(GatewayError) -> Result {
    do { return try body() } catch { throw .system(error) }
}
