internal import BundleFormat
public import Platform
internal import StrictJSON
internal import Trust

/// What a device keeps about downgrades that it asked for: the nonce of the request that waits, and the one attempt
/// that was granted.
///
/// There is one nonce at a time. Granting an attempt forgets it in the same write that notes the attempt, and before
/// anything else happens: a statement works once, however often it comes again. What is lost or damaged makes every
/// statement worthless and never a used one good again.
public struct OverrideBook: Sendable {
    /// A request that waits for its statement.
    public struct Request: Equatable, Sendable {
        public let nonce: [UInt8]
        /// Boots since it was made, as far as kedged saw them.
        public fileprivate(set) var boots: UInt32
        fileprivate var lastBoot: String
    }

    /// The attempt that a statement let in, and the release that it may bring.
    private struct Grant: Equatable {
        let attempt: String
        let manifest: Digest
    }

    private let document: any KeptDocument
    /// The request that waits, if one does.
    public private(set) var request: Request?
    private var grant: Grant?

    private static let limit = 4096

    /// Reads what is kept; damaged bytes count as none.
    public init(_ document: any KeptDocument) throws(Failure) {
        self.document = document
        guard let bytes = try step({ () throws(SystemError) in try document.read() }) else { return }
        do throws(JSONError) { try decode(bytes) } catch {
            request = nil
            grant = nil
        }
    }

    /// The request that waits; made now when there is none. Asking again gives the same, so that a statement on its
    /// way stays good.
    public mutating func ask(bootID: String, random: any RandomSource) throws(Failure) -> Request {
        if let request { return request }
        let nonce = try step { () throws(SystemError) in try random.bytes(OverrideStatement.nonceLength) }
        let made = Request(nonce: nonce, boots: 0, lastBoot: bootID)
        request = made
        try save()
        return made
    }

    /// Gives the request up: no statement for it is good any more.
    public mutating func forget() throws(Failure) {
        if request == nil { return }
        request = nil
        try save()
    }

    /// Counts a boot of the request that waits.
    mutating func noteBoot(_ bootID: String) throws(Failure) {
        guard var next = request, next.lastBoot != bootID else { return }
        if next.boots < UInt32.max { next.boots += 1 }
        next.lastBoot = bootID
        request = next
        try save()
    }

    /// Whether this attempt at this release was granted.
    func isGranted(_ attempt: String, _ manifest: Digest) -> Bool {
        grant == Grant(attempt: attempt, manifest: manifest)
    }

    /// Throws when the statement is not for this device, its request, this release and now. Writes nothing.
    func check(
        _ verified: Verified<OverrideStatement>, device: String, manifest: Digest, now: Int64
    ) throws(EngineError) {
        let statement = verified.statement
        if statement.manifest != manifest {
            throw .overrideOtherRelease(wanted: statement.manifest, found: manifest)
        }
        guard let entry = statement.devices.first(where: { $0.id == device }) else {
            throw .overrideOtherDevice(device)
        }
        guard let request, request.nonce == entry.nonce else { throw .overrideNonce }
        if let expires = statement.expires, now > expires {
            throw .overrideExpired("at \(expires) (seconds since 1970)")
        }
        if let boots = statement.boots, request.boots > boots { throw .overrideExpired("after \(boots) boots") }
    }

    /// Notes that the attempt was granted, and forgets the nonce, in one write.
    mutating func redeem(_ attempt: String, _ manifest: Digest) throws(Failure) {
        request = nil
        grant = Grant(attempt: attempt, manifest: manifest)
        try save()
    }

    private func save() throws(Failure) {
        var members: [(String, JSONValue)] = [("format", .integer(1))]
        if let request {
            members.append(
                (
                    "request",
                    .members([
                        ("nonce", .string(Hex.encode(request.nonce))), ("boots", .integer(Int64(request.boots))),
                        ("lastBoot", .string(request.lastBoot)),
                    ])
                ))
        }
        if let grant {
            members.append(
                (
                    "granted",
                    .members([("attempt", .string(grant.attempt)), ("manifest", .string(grant.manifest.hex))])
                ))
        }
        let bytes = JSONValue.members(members).bytes
        try step { () throws(SystemError) in try document.write(bytes) }
    }

    private mutating func decode(_ bytes: [UInt8]) throws(JSONError) {
        var reader = try JSONObjectReader(try JSONValue.parse(bytes, limit: Self.limit), at: "override")
        _ = try reader.integer("format", in: 1...1)
        if var entry = try reader.optionalObject("request") {
            let nonce = Hex.decode(try entry.string("nonce", limit: 2 * OverrideStatement.nonceLength)) ?? []
            if nonce.count != OverrideStatement.nonceLength {
                throw JSONError(.outOfBounds, at: "override.request.nonce", "is no nonce")
            }
            let boots = UInt32(try entry.integer("boots", in: 0...Int64(UInt32.max)))
            let last = try entry.required("lastBoot").text ?? ""
            try entry.finish()
            request = Request(nonce: nonce, boots: boots, lastBoot: last)
        }
        if var entry = try reader.optionalObject("granted") {
            grant = Grant(attempt: try entry.string("attempt", limit: 64), manifest: try entry.digest("manifest"))
            try entry.finish()
        }
        try reader.finish()
    }
}
