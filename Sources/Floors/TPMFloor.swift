internal import CTPM
internal import Platform

/// The floor in an NV counter of a TPM 2.0: the floor is the counter's value less the base that its definition
/// carries. It counts up and never down, also for whoever writes all of the device's storage.
///
/// `kedged floor init` defines it once, in the factory. Only the owner's password can remove it again, so the owner
/// must have one that no device knows, or who rules the device can define the counter anew. Anybody who may talk to
/// the TPM can count up: that stops updates of this one device, and lets no old release in. The bus between processor
/// and TPM is trusted.
///
/// tpm2-tss (ESYS) is loaded when a counter is opened and at no other time, because most gateways have no TPM: they
/// need not ship the library, and kedged stays as small in memory as it is. A build without its headers refuses
/// with `floor.unreachable`. Raw TPM commands would have saved the library, and would have been a second
/// implementation of what every distribution ships.
public final class TPMFloor: FloorStore {
    public let kind = FloorKind.tpm
    public let displayName: String
    private let tcti: String
    private let index: UInt32

    /// In the range that the TCG leaves to the owner (Registry of Reserved TPM 2.0 Handles, 0x01800000 to 0x01bfffff).
    public static let defaultIndex: UInt32 = 0x0184_b347
    public static let indices: ClosedRange<UInt32> = 0x0180_0000...0x01bf_ffff
    /// A kernel with a resource manager.
    public static let defaultTCTI = "device:/dev/tpmrm0"
    /// Counting one up is a write of NV memory, 5 to 50 ms each: a release with an absurd security version shall not
    /// hold the device up. What is left follows with the next start.
    static let mostSteps: UInt32 = 256

    /// Nothing is opened yet.
    public init(tcti: String = TPMFloor.defaultTCTI, index: UInt32 = TPMFloor.defaultIndex) {
        self.tcti = tcti
        self.index = index
        displayName = "TPM counter \(Hex.number(index))"
    }

    public func read() throws(FloorError) -> UInt32 { try read(open()) }

    public func raise(to floor: UInt32) throws(FloorError) -> UInt32 {
        let tpm = try open()
        var present = try read(tpm)
        var steps: UInt32 = 0
        while present < floor, steps < Self.mostSteps {
            try check(tpm.increment(index))
            // By reading and not by counting: somebody else may count too.
            present = try read(tpm)
            steps += 1
        }
        return present
    }

    public func lower(to floor: UInt32) throws(FloorError) { throw .irreversible(store: displayName) }

    /// Defines the counter with the TPM owner's password (empty: none). One that is there already stays as it is.
    public func define(owner: [UInt8]) throws(FloorError) {
        try check(open().define(index, owner))
    }

    private func open() throws(FloorError) -> TPMConnection { try TPMConnection(tcti, store: displayName) }

    private func read(_ tpm: borrowing TPMConnection) throws(FloorError) -> UInt32 {
        let (code, base, value) = tpm.read(index)
        try check(code)
        return UInt32(clamping: value - base)
    }

    private func check(_ code: UInt32) throws(FloorError) {
        switch code {
        case 0: return
        case UInt32(KEDGE_TPM_MISSING), KEDGE_TPM_UNBORN: throw .missing(store: displayName)
        case KEDGE_TPM_FOREIGN: throw .foreign(store: displayName)
        default: throw .refused(store: displayName, code: code)
        }
    }
}

/// Owns a connection to a TPM.
@safe private struct TPMConnection: ~Copyable {
    private let raw: UnsafeMutableRawPointer

    init(_ tcti: String, store: String) throws(FloorError) {
        var code: UInt32 = 0
        var why = [CChar](repeating: 0, count: 256)
        let made = unsafe kedge_tpm_open(tcti, &code, &why, why.count)
        guard let made = unsafe made else {
            let text = String(decoding: why.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw .unreachable(store: store, why: text)
        }
        unsafe raw = made
    }

    deinit { unsafe kedge_tpm_close(raw) }

    func read(_ index: UInt32) -> (code: UInt32, base: UInt64, value: UInt64) {
        var base: UInt64 = 0
        var value: UInt64 = 0
        let code = unsafe kedge_tpm_counter_read(raw, index, &base, &value)
        return (code, base, value)
    }

    func increment(_ index: UInt32) -> UInt32 { unsafe kedge_tpm_counter_increment(raw, index) }

    func define(_ index: UInt32, _ owner: [UInt8]) -> UInt32 {
        unsafe owner.withUnsafeBufferPointer { unsafe kedge_tpm_counter_define(raw, index, $0.baseAddress, $0.count) }
    }
}
