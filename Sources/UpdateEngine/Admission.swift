internal import BootControl
internal import BundleFormat
internal import Trust

/// Whether a verified release may be installed on this device: product, updater, replay, floor and time.
struct Admission {
    let identity: DeviceIdentity
    let record: BootRecord
    /// The trust root's own floor.
    let trustFloor: UInt32
    /// Now, at least (seconds since 1970).
    let now: Int64

    /// Throws the first reason against it. Reads nothing and writes nothing.
    func check(_ release: VerifiedManifest) throws(EngineError) {
        let manifest = release.manifest
        try checkProduct(manifest.product)
        if KedgeVersion.current < manifest.minimumUpdater {
            throw .updaterTooOld(needed: manifest.minimumUpdater.description)
        }
        // Equal is allowed: the same release may repair a spare slot or come back after a rollback.
        if manifest.sequence < record.acceptedSequence {
            throw .older(sequence: manifest.sequence, accepted: record.acceptedSequence)
        }
        let floor = max(record.floor, trustFloor)
        if manifest.securityVersion < floor {
            throw .belowFloor(securityVersion: manifest.securityVersion, floor: floor)
        }
        if let expires = manifest.expires, now > expires { throw .expired(at: expires) }
        // A clock that stands before the release was built is wrong, and proves nothing about notBefore.
        if let notBefore = manifest.notBefore, now >= manifest.created, now < notBefore { throw .notYet(at: notBefore) }
    }

    private func checkProduct(_ product: Product) throws(EngineError) {
        if product.vendor != identity.vendor || product.deviceClass != identity.deviceClass {
            throw .wrongProduct(
                "the release is for \(product.vendor) \(product.deviceClass), this device is "
                    + "\(identity.vendor) \(identity.deviceClass)")
        }
        if !product.hardware.contains(identity.hardware) {
            throw .wrongHardware(
                device: identity.hardware, lowest: product.hardware.lowerBound, highest: product.hardware.upperBound)
        }
    }
}
