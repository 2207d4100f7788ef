internal import BootControl
internal import BundleFormat
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
        if KedgeVersion.current < manifest.minimumUpdater {
            throw .updaterTooOld(needed: manifest.minimumUpdater.description)
        }
        try checkSequence(release)
        try checkFloor(manifest.securityVersion)
        try checkTime(release)
    }

    /// Equal is allowed: the same release may come back after a rollback. What runs is no replay, whatever ran since.
    private func checkSequence(_ release: VerifiedManifest) throws(EngineError) {
        let offered = release.manifest.sequence
        if isRunning(release) { return }
        if offered < sequence.accepted { throw .older(sequence: offered, accepted: sequence.accepted) }
        if sequence.isJump(offered) { throw .sequenceJump(sequence: offered, accepted: sequence.accepted) }
    }

    /// With a store that does not answer, nothing older than what runs may come in; what is as new still may, or a
    /// worn-out TPM would keep the device from every repair.
    private func checkFloor(_ version: UInt32) throws(EngineError) {
        let floor = floors.effective(record.floor)
        if version < floor { throw .belowFloor(securityVersion: version, floor: floor) }
        let present = record[running].securityVersion
        if floors.isUnknown, version < present {
            throw .floorUnknown(securityVersion: version, running: present, why: floors.failure?.context ?? "")
        }
    }

    /// Expiry keeps old releases from devices that do not have them. It never stands against a repair: what runs, what
    /// waits confirmed in the spare set, and an attempt that was begun in time.
    private func checkTime(_ release: VerifiedManifest) throws(EngineError) {
        let manifest = release.manifest
        let spare = record[running.other]
        let repairs =
            resumes || isRunning(release) || spare.state == .good && spare.manifest == release.digest
        if let expires = manifest.expires, now > expires, !repairs { throw .expired(at: expires) }
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
