internal import Floors
internal import Platform

/// Where the floor is kept besides the boot record: the section `[floor]` of device.ini.
enum FloorPlace: Equatable, Sendable {
    /// In the boot record alone.
    case record
    /// In two files of the data directory too.
    case file
    /// In a counter of a TPM 2.0 too.
    case tpm(tcti: String, index: UInt32)

    init(_ reader: inout ConfigurationReader) throws(ServiceError) {
        let store = reader.optional("floor", "store") ?? "record"
        switch store {
        case "record": self = .record
        case "file": self = .file
        case "tpm":
            let tcti = reader.optional("floor", "tcti") ?? TPMFloor.defaultTCTI
            if tcti.isEmpty { throw reader.problem("[floor] tcti is empty") }
            let text = reader.optional("floor", "index")
            guard let index = text.map({ Self.index($0) }) ?? TPMFloor.defaultIndex else {
                throw reader.problem(
                    "[floor] index = \(text ?? "") must be 0x01800000 to 0x01bfffff, which belong to the owner")
            }
            self = .tpm(tcti: tcti, index: index)
        default: throw reader.problem("[floor] store = \(store) must be record, file or tpm")
        }
    }

    /// `0x` and eight hexadecimal digits, as tpm2-tools print them.
    private static func index(_ text: String) -> UInt32? {
        let bytes = Array(text.utf8)
        guard bytes.count == 10, bytes.starts(with: "0x".utf8),
            let parts = Hex.decode(String(decoding: bytes[2...], as: UTF8.self))
        else { return nil }
        let index = parts.reduce(0) { $0 << 8 | UInt32($1) }
        return TPMFloor.indices.contains(index) ? index : nil
    }

    /// The store; nil for the record alone. Nothing is opened yet.
    func store(data: String) -> (any FloorStore)? {
        switch self {
        case .record: nil
        case .file: FloorFile(directory: data)
        case .tpm(let tcti, let index): TPMFloor(tcti: tcti, index: index)
        }
    }
}
