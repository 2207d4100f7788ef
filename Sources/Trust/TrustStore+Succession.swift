internal import BundleFormat

extension TrustStore {
    /// The trust store with the next root, from the bytes of its root file (TUF 1.0.34 section 5.3, Uptane 2.1).
    /// The order is the point:
    ///
    /// 1. The envelope: strict JSON of at most 128 KiB; the document in it is only bytes yet.
    /// 2. The threshold of *this* root's root role, over those bytes: no stranger's document is parsed.
    /// 3. The document and its rules. Its version is exactly one more than this one's: no step is skipped, and no
    ///    root is ever replayed.
    /// 4. The threshold of the *new* root's root role, which proves that its keys exist and work, so that a mistake
    ///    in the office cannot lock the fleet out.
    /// 5. What roots only ever tighten (see `TrustRoot.checkSucceeds`).
    /// 6. That this device can verify what the new root asks for (see `TrustRoot.checkSupported`).
    ///
    /// A key counts once, however often it signs or is listed, and a key that the new root revokes still counts for
    /// this one: that is how a key takes its leave. Nothing expires: a root is good until a newer one follows.
    ///
    /// Pure: nothing is kept. `self` stays what it is when this throws.
    public func succeeded(by rootFile: [UInt8]) throws(TrustError) -> TrustStore {
        let file = try RootFile.decode(rootFile)
        let claimed = file.signatures.map {
            ClaimedSignature(algorithm: nil, keyID: $0.keyID, signature: $0.signature)
        }
        _ = try root.signers(.root, of: file.signedBytes, claimed: claimed)
        let next = try TrustRoot.decode(file.payload)
        try next.checkSucceeds(root)
        _ = try next.signers(.root, of: file.signedBytes, claimed: claimed)
        try next.checkSupported()
        return TrustStore(verified: next)
    }
}

extension TrustRoot {
    /// Checks what a newer root may change; signatures are not looked at.
    ///
    /// It may: name other keys, roles and thresholds (also lower ones), revoke keys, deny releases, raise the floor.
    /// It may not, because a list that can shrink can be made to forget: skip or repeat a version, change the
    /// environment, lower the floor, or leave out a revoked key or a denied release of the former root. A device that
    /// has to accept less than its root says needs a newer system with another built-in root.
    public func checkSucceeds(_ former: TrustRoot) throws(TrustError) {
        let (expected, overflow) = former.version.addingReportingOverflow(1)
        if overflow { throw .rootInvalid("there is no version after \(former.version)") }
        if version != expected { throw .rootVersion(found: version, expected: expected) }
        if environment != former.environment {
            throw .rootLoosens(
                "changes the environment from \(former.environment.rawValue) to \(environment.rawValue)")
        }
        if floor < former.floor { throw .rootLoosens("lowers the floor from \(former.floor) to \(floor)") }
        for key in former.revoked where !revoked.contains(key) {
            throw .rootLoosens("no longer revokes the key \(key.hex)")
        }
        for release in former.deniedReleases where !deniedReleases.contains(release) {
            throw .rootLoosens("no longer denies the release with manifest \(release.hex)")
        }
    }
}
