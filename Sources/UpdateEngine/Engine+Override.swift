internal import BootControl
internal import BundleFormat
internal import Platform
internal import Trust

/// That an attempt may bring its release although it is older: made only where a statement was verified for it, or
/// where one was before.
struct OverridePermit {
    /// The statement is used up only when the attempt really begins.
    fileprivate let isNew: Bool
}

extension Engine {
    /// Throws the first reason against a release; with a permit when an override lets it in.
    ///
    /// An override is looked at only when the release would be refused without it, and is not used up when something
    /// else stands against the release.
    func admit(
        _ release: VerifiedManifest, _ attempt: Attempt, _ admission: Admission
    ) throws(Failure) -> OverridePermit? {
        let refusal: EngineError
        do throws(EngineError) {
            try admission.check(release)
            return nil
        } catch { refusal = error }
        guard refusal.canBeOverridden, let book = overrides else { throw Failure(refusal) }
        if book.isGranted(attempt.id, release.digest) {
            try step { () throws(EngineError) in try admission.checkOverridden(release) }
            return OverridePermit(isNew: false)
        }
        guard let offered = offeredOverride else { throw Failure(refusal) }
        let statement = try step { () throws(TrustError) in try trust.verify(OverrideStatement.self, offered) }
        try step { () throws(EngineError) in
            try book.check(statement, device: outside.identity.id, manifest: release.digest, now: now())
            try admission.checkOverridden(release)
        }
        return OverridePermit(isNew: true)
    }

    /// Uses the statement up: durably, and before the attempt changes anything.
    func redeem(_ permit: OverridePermit?, _ attempt: Attempt) throws(Failure) {
        guard let permit, permit.isNew, let manifest = attempt.manifest else { return }
        try overrides?.redeem(attempt.id, manifest)
        offeredOverride = nil
    }

    /// Takes over what another process asked for in the meantime, and counts this boot for the request that waits.
    ///
    /// A medium that fails stops nothing here: no trial may fail because a boot could not be counted, and no override is
    /// good that cannot be noted as used.
    func noteBootForOverride() {
        overrides = nil
        guard let document = outside.overrides else { return }
        do throws(Failure) {
            overrides = try OverrideBook(document)
            if let bootID = outside.running.bootID { try overrides?.noteBoot(bootID) }
        } catch {
            return
        }
    }
}
