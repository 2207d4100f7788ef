import BundleFormat
import Trust

/// A root document by the numbers of its keys.
func numberedRoot(
    _ version: UInt32, root: [UInt8] = [1], threshold: Int = 1, release: [UInt8] = [9], revoked: [UInt8] = [],
    denied: [Digest] = [], floor: UInt32 = 0, environment: TrustRoot.Environment = .prod
) throws -> TrustRoot {
    let numbers = root + release.filter { !root.contains($0) }
    return try TrustRoot(
        version: version, environment: environment, created: 0,
        keys: numbers.map { TrustRoot.Key(try TestKey($0).publicKey, name: "key \($0)") },
        roles: [
            .init(.root, keys: try root.map { try TestKey($0).id }, threshold: threshold),
            .init(.release, keys: try release.map { try TestKey($0).id }, threshold: 1),
        ], revoked: try revoked.map { try TestKey($0).id }, deniedReleases: denied, floor: floor)
}

/// Its file, signed by these keys.
func signed(_ root: TrustRoot, by keys: [UInt8] = [1]) throws -> [UInt8] {
    try rootFile(root.bytes, by: keys.map { try TestKey($0) })
}

/// Root files 1 to `count`, each with its own root key, signed by the former key and its own.
func rotations(_ count: Int) throws -> [[UInt8]] {
    try (1...count).map { number in
        let own = UInt8(number)
        return try signed(numberedRoot(UInt32(number), root: [own], release: [200]), by: [max(own, 2) - 1, own])
    }
}
