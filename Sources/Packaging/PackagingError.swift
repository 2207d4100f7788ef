public import Platform

/// Why a bundle cannot be built, or an output cannot be made.
public enum PackagingError: StableError, Equatable, Sendable {
    /// The recipe is not TOML.
    case recipeSyntax(path: String, line: Int, column: Int, why: String)
    /// A key that no recipe has; `key` is its path, such as `component[0].knd`.
    case recipeUnknownKey(path: String, key: String, known: [String])
    /// A key that must be there.
    case recipeMissing(path: String, key: String)
    /// A value of another type than the key needs.
    case recipeType(path: String, key: String, expected: String, found: String)
    /// A value out of bounds, or an identifier that is none.
    case recipeValue(path: String, key: String, why: String)
    /// Two components with the same id or target.
    case recipeDuplicate(path: String, key: String, value: String)
    /// A file that the recipe names is not there or is none.
    case recipeFile(path: String, key: String, file: String, why: String)
    /// The recipe itself cannot be read.
    case recipeUnreadable(path: String, why: String)
    /// SOURCE_DATE_EPOCH is not a number of seconds.
    case sourceDate(String)
    /// An image of no bytes.
    case imageEmpty(file: String)
    /// An image longer than a bundle can carry, bytes.
    case imageTooLarge(file: String, size: UInt64, limit: UInt64)
    /// An image that was written to while it was read.
    case imageChanged(file: String)
    /// The bundle's chunk tables or manifest grew past the format's limits.
    case releaseTooLarge(what: String, size: UInt64, limit: UInt64)
    /// libzstd failed.
    case compression(String)
    /// The path for the output exists and is no regular file, or exists at all where that is not allowed.
    case output(path: String, why: String)
    /// A base that no delta can be made from.
    case base(path: String, why: String)
    /// More bases for one component than a manifest takes.
    case tooManyBases(id: String, limit: Int)
    /// The bundle has no delta from any of the bases given.
    case noDelta(id: String, known: [String])
    /// No such component in the bundle.
    case noComponent(id: String, known: [String])

    public var code: String {
        switch self {
        case .recipeSyntax: "recipe.syntax"
        case .recipeUnknownKey: "recipe.unknown-key"
        case .recipeMissing: "recipe.missing"
        case .recipeType: "recipe.type"
        case .recipeValue: "recipe.value"
        case .recipeDuplicate: "recipe.duplicate"
        case .recipeFile, .recipeUnreadable: "recipe.file"
        case .sourceDate: "build.source-date"
        case .imageEmpty: "build.image-empty"
        case .imageTooLarge: "build.image-too-large"
        case .imageChanged: "build.image-changed"
        case .releaseTooLarge: "build.too-large"
        case .compression: "build.compression"
        case .output: "output.refused"
        case .base: "build.base"
        case .tooManyBases: "build.too-many-bases"
        case .noDelta: "bundle.no-delta"
        case .noComponent: "bundle.no-component"
        }
    }

    public var category: ErrorCategory {
        switch self {
        case .recipeSyntax, .recipeUnknownKey, .recipeMissing, .recipeType, .recipeValue, .recipeDuplicate,
            .recipeFile, .recipeUnreadable, .sourceDate, .imageEmpty, .imageTooLarge, .releaseTooLarge,
            .tooManyBases:
            .configuration
        case .imageChanged, .output: .storage
        case .compression: .unexpected
        case .noComponent, .noDelta, .base: .usage
        }
    }

    public var context: String {
        switch self {
        case .recipeSyntax(let path, let line, let column, let why): "\(path), line \(line), column \(column): \(why)"
        case .recipeUnknownKey(let path, let key, _): "\(path): \(key) is not a key of a recipe"
        case .recipeMissing(let path, let key): "\(path): \(key) is missing"
        case .recipeType(let path, let key, let expected, let found):
            "\(path): \(key) must be \(expected), it is \(found)"
        case .recipeValue(let path, let key, let why): "\(path): \(key) \(why)"
        case .recipeDuplicate(let path, let key, let value): "\(path): \(key) \"\(value)\" is another component's"
        case .recipeFile(let path, let key, let file, let why): "\(path): \(key) names \(file): \(why)"
        case .recipeUnreadable(let path, let why): "the recipe \(path) cannot be read: \(why)"
        case .sourceDate(let text): "SOURCE_DATE_EPOCH is \"\(text)\""
        case .imageEmpty(let file): "\(file) is empty"
        case .imageTooLarge(let file, let size, let limit):
            "\(file) has \(size) bytes, at most \(limit) are allowed"
        case .imageChanged(let file): "\(file) changed while it was read"
        case .releaseTooLarge(let what, let size, let limit): "\(what) has \(size) bytes, at most \(limit) are allowed"
        case .compression(let why): "zstd failed: \(why)"
        case .output(let path, let why): "\(path) \(why)"
        case .base(let path, let why): "the base \(path) \(why)"
        case .tooManyBases(let id, let limit): "\(id) has more than \(limit) bases"
        case .noDelta(let id, _): "the bundle has no delta of \(id) from this base"
        case .noComponent(let id, _): "the bundle has no component \(id)"
        }
    }

    public var remedy: String {
        switch self {
        case .recipeSyntax: "Correct the TOML there"
        case .recipeUnknownKey(_, _, let known): "Known here: " + known.joined(separator: ", ")
        case .recipeMissing: "Add it; `kedge init` writes an example of every key"
        case .recipeType, .recipeValue: "Correct the value"
        case .recipeDuplicate: "Give every component its own id and target"
        case .recipeFile: "Check the path; it is relative to the recipe's directory"
        case .recipeUnreadable: "Check the path; `kedge init` writes a recipe"
        case .sourceDate: "Set it to seconds since 1970, or unset it"
        case .imageEmpty: "Check how the image is made"
        case .imageTooLarge, .releaseTooLarge: "Split the release"
        case .imageChanged: "Wait until nothing writes to it, and build again"
        case .compression: "Check the installed libzstd"
        case .output: "Choose another path"
        case .base: "Name an older bundle, or the older image of one component as ID=PATH"
        case .tooManyBases: "Keep those that most devices run"
        case .noDelta(_, let known):
            known.isEmpty
                ? "Leave --base out: it has no deltas"
                : "Leave --base out, or give an image with one of these SHA-256: " + known.joined(separator: ", ")
        case .noComponent(_, let known): "It has " + known.joined(separator: ", ")
        }
    }
}
