public import Platform
internal import Transfer
public import Trust

/// Where newer trust roots may be: files `root.N.json`, one for each version N, next to each other.
public enum RootPlace: Equatable, Sendable {
    /// In the directory of the file at this location.
    case beside(String)
    /// In the directory at this location.
    case inside(String)
    /// One root file of any name, and no more.
    case only(String)

    /// What a person named: a `root.N.json` stands for all that follow in its directory, another `.json` for itself,
    /// everything else is a directory.
    public init(named location: String) {
        let name = BundleLocation.lastName(of: location)
        if Self.isNumbered(name) {
            self = .beside(location)
        } else if name.utf8.count > 5, Array(name.utf8.suffix(5)) == Array(".json".utf8) {
            self = .only(location)
        } else {
            self = .inside(location)
        }
    }

    /// Where the root of that version is.
    public func location(of version: UInt32) -> String {
        let name = "root.\(version).json"
        switch self {
        case .beside(let location): return BundleLocation.neighbor(of: location, named: name)
        case .inside(let location): return BundleLocation.inside(location, named: name)
        case .only(let location): return location
        }
    }

    /// `root.`, digits, `.json`.
    private static func isNumbered(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard bytes.starts(with: "root.".utf8), bytes.count > 10, Array(bytes.suffix(5)) == Array(".json".utf8) else {
            return false
        }
        return bytes[5..<(bytes.count - 5)].allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    }
}

extension TrustChain {
    /// Takes the roots N+1, N+2, … of a place until one is missing, and says how many. Each is fetched with at most
    /// 128 KiB and one byte, so that a longer one is refused unread, and verified before the next is asked for. What
    /// was taken before an error stays taken; nothing is written.
    public mutating func follow(_ place: RootPlace, from sources: any SourceOpener) throws(Failure) -> Int {
        var taken = 0
        while taken < Self.mostSteps, trust.root.version < .max {
            let location = place.location(of: trust.root.version + 1)
            guard let bytes = try Self.fetch(location, from: sources, mayBeMissing: !place.isOnly) else { break }
            do throws(TrustError) { try extend(with: bytes) } catch { throw Failure(error) }
            taken += 1
            if place.isOnly { break }
        }
        return taken
    }

    /// The file's bytes; nil when the server or directory says that there is none.
    private static func fetch(
        _ location: String, from sources: any SourceOpener, mayBeMissing: Bool
    ) throws(Failure) -> [UInt8]? {
        var bytes: [UInt8] = []
        do throws(TransferError) {
            let source = try sources.open(location)
            try source.readAvailable(0..<UInt64(RootFile.limit + 1)) { (piece) throws(TransferError) in
                bytes.append(contentsOf: [UInt8](copying: piece))
            }
        } catch {
            if mayBeMissing {
                if case .network(.notFound, _, _) = error { return nil }
                if case .system(let error) = error, error.number == SystemError.notFound { return nil }
            }
            throw Failure(error)
        }
        return bytes
    }
}

extension RootPlace {
    fileprivate var isOnly: Bool {
        if case .only = self { return true }
        return false
    }
}

/// Keeps a device's trust root up to date while it works.
public protocol TrustRotation: AnyObject, Sendable {
    /// The newest trust store that is to be had before a bundle is read from `location`. The engine asks once for
    /// every attempt and for every time it goes on, and before anything of the bundle is read, so that a key that was
    /// revoked in the meantime does not get one more release in. Looking for it must not fail: whoever can hide a
    /// newer root can hide the bundle too.
    func newest(for location: String) -> TrustStore
}
