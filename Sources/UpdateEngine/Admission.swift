internal import BootControl
internal import BundleFormat
internal import Floors
internal import Platform
internal import Trust

/// Whether a verified release may be installed on this device: product, updater, replay, floor and time.
struct Admission {
    let identity: DeviceIdentity
    let record: BootRecord
    /// The slot set that runs.
    let running: SlotSet
    let floors: FloorStatus
    let sequence: SequenceRule
    /// Now, at least (seconds since 1970).
    let now: Int64
    /// What the machine's clock is worth.
    let clock: ClockState
    /// The attempt was admitted before, and goes on.
    let resumes: Bool

    /// Throws the first reason against it. Reads nothing and writes nothing.
    func check(_ release: VerifiedManifest) throws(EngineError) {
        let manifest = release.manifest
        try checkProduct(manifest.product)
        try checkUpdater(manifest)
        try checkSequence(release)
        try checkFloor(manifest.securityVersion)
        if let expires = manifest.expires, now > expires, !isRepair(release) { throw .expired(at: expires) }
        try checkNotBefore(manifest)
    }

    /// The same for a release that an override lets in: its age does not count, nor its expiry, and it may lie below
    /// the floor of the record and of a file. It may not lie below the trust root's floor, which people of a higher
    /// role set, nor below a TPM's, which can never fall and would lock the release out at its confirmation.
    func checkOverridden(_ release: VerifiedManifest) throws(EngineError) {
        let manifest = release.manifest
        try checkProduct(manifest.product)
        try checkUpdater(manifest)
        let version = manifest.securityVersion
        if version < floors.root {
            throw .belowHardFloor(securityVersion: version, floor: floors.root, keeper: "trust root")
        }
        if floors.store?.canBeLowered == false, let stored = floors.stored, version < stored {
            throw .belowHardFloor(securityVersion: version, floor: stored, keeper: "TPM")
        }
        try checkStore(version)
        try checkNotBefore(manifest)
    }

    private func checkUpdater(_ manifest: Manifest) throws(EngineError) {
        if KedgeVersion.current < manifest.minimumUpdater {
            throw .updaterTooOld(needed: manifest.minimumUpdater.description)
        }
    }

    /// Equal is allowed: the same release may come back after a rollback. What runs is no replay, whatever ran since.
    private func checkSequence(_ release: VerifiedManifest) throws(EngineError) {
        let offered = release.manifest.sequence
        if isRunning(release) { return }
        if offered < sequence.accepted { throw .older(sequence: offered, accepted: sequence.accepted) }
        if sequence.isJump(offered) { throw .sequenceJump(sequence: offered, accepted: sequence.accepted) }
    }

    private func checkFloor(_ version: UInt32) throws(EngineError) {
        let floor = floors.effective(record.floor)
        if version < floor { throw .belowFloor(securityVersion: version, floor: floor) }
        try checkStore(version)
    }

    /// With a store that does not answer, nothing older than what runs may come in; what is as new still may, or a
    /// worn-out TPM would keep the device from every repair.
    private func checkStore(_ version: UInt32) throws(EngineError) {
        let present = record[running].securityVersion
        if floors.isUnknown, version < present {
            throw .floorUnknown(securityVersion: version, running: present, why: floors.failure?.context ?? "")
        }
    }

    /// Expiry and channels keep old releases from devices that do not have them. They never stand against a repair:
    /// what runs, what waits confirmed in the spare set, and an attempt that was begun in time.
    func isRepair(_ release: VerifiedManifest) -> Bool {
        let spare = record[running.other]
        return resumes || isRunning(release) || spare.state == .good && spare.manifest == release.digest
    }

    private func checkNotBefore(_ manifest: Manifest) throws(EngineError) {
        // Only a clock that works can say that a time has not come: all else says only that another one has passed.
        if let notBefore = manifest.notBefore, clock == .good, now < notBefore { throw .notYet(at: notBefore) }
    }

    private func isRunning(_ release: VerifiedManifest) -> Bool {
        record[running].state == .good && record[running].manifest == release.digest
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
