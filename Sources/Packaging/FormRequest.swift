public import BundleFormat
internal import DeltaEncoding
internal import Platform

/// A base to make deltas from: a bundle, which serves every component with the same id, or the raw image of one.
public struct BaseSource: Equatable, Sendable {
    /// Where it is.
    public let path: String
    /// Whose image it is; nil for a bundle, and for the image of a release's only component.
    public let component: Identifier?

    /// `component` is nil for a bundle.
    public init(path: String, component: Identifier? = nil) {
        self.path = path
        self.component = component
    }

    /// From `PATH` or `ID=PATH`, as on the command line. A path that exists as it stands is one.
    public init(_ text: String) {
        if let equals = text.firstIndex(of: "="), let id = Identifier(String(text[..<equals])),
            (try? FileSystem.kind(of: text)) ?? nil == nil
        {
            self.init(path: String(text[text.index(after: equals)...]), component: id)
        } else {
            self.init(path: text)
        }
    }
}

/// Which other forms of its images a bundle carries beside their windows, instead of what the recipe says.
public struct FormRequest: Equatable, Sendable {
    /// Bases beside the recipe's.
    public let bases: [BaseSource]
    /// Nil leaves it to the recipe.
    public let solid: Bool?
    public let blocks: Bool?

    public init(bases: [BaseSource] = [], solid: Bool? = nil, blocks: Bool? = nil) {
        self.bases = bases
        self.solid = solid
        self.blocks = blocks
    }
}

/// An older image in memory, and its name.
struct BaseImage {
    let name: DeltaBase
    let bytes: ByteBlock
}

/// Opens bases. Images of bundles are unpacked into files without a name beside the output.
struct BaseImages {
    private var images: [(id: Identifier, base: BaseImage)] = []

    /// Every base that `recipe` or `request` names, for the components that are in the recipe.
    init(_ recipe: Recipe, _ request: FormRequest, beside output: String) throws {
        var sources = request.bases.map { (source: $0, only: Identifier?.none) }
        for image in recipe.images {
            sources += image.bases.map { (source: BaseSource(path: $0), only: image.id) }
        }
        for (source, only) in sources { try add(source, only: only, recipe, output) }
    }

    /// The bases of one component, in the order in which they were named, each once.
    func bases(of id: Identifier) -> [BaseImage] { images.filter { $0.id == id }.map { $0.base } }

    private mutating func add(
        _ source: BaseSource, only: Identifier?, _ recipe: Recipe, _ output: String
    ) throws {
        let ids = recipe.images.map { $0.id }
        if try UnverifiedBundle.isBundle(source.path) {
            if let id = source.component {
                throw PackagingError.base(path: source.path, why: "is a bundle; leave out \"\(id)=\"")
            }
            let bundle = try UnverifiedBundle(source.path)
            var found = false
            for component in bundle.components where ids.contains(component.id) {
                if let only, component.id != only { continue }
                found = true
                let file = try StagedFile.scratch(beside: output)
                try bundle.unpack(component, to: file)
                try keep(component.id, DeltaBase(digest: component.digest, size: component.size), file)
            }
            if !found {
                throw PackagingError.base(path: source.path, why: "has no component of this release")
            }
            return
        }
        guard let id = source.component ?? only ?? (ids.count == 1 ? ids.first : nil) else {
            throw PackagingError.base(path: source.path, why: "is an image; say whose, as in rootfs=\(source.path)")
        }
        if !ids.contains(id) {
            throw PackagingError.base(path: source.path, why: "is for \(id), which is no component")
        }
        let image = try ImageFile(source.path)
        let file = try Descriptor(open: source.path, [.read])
        let block = try ByteBlock(mapping: file, size: image.size)
        let digest = block.view.withSpan { SHA256.digest(of: $0) }
        keep(id, BaseImage(name: DeltaBase(digest: digest, size: image.size), bytes: block))
    }

    private mutating func keep(_ id: Identifier, _ name: DeltaBase, _ file: borrowing Descriptor) throws {
        keep(id, BaseImage(name: name, bytes: try ByteBlock(mapping: file, size: name.size)))
    }

    private mutating func keep(_ id: Identifier, _ base: BaseImage) {
        if images.contains(where: { $0.id == id && $0.base.name == base.name }) { return }
        images.append((id: id, base: base))
    }
}
