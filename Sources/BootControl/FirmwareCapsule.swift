public import Platform

/// What a UEFI capsule says of itself: which firmware it is for, its length, and its version where it has one.
///
/// The header is the UEFI specification's (section 8.5.3), what is inside of a firmware management capsule too
/// (section 23.3). The version stands only in the header that EDK II puts before its payload (`FMP_PAYLOAD_HEADER`,
/// behind the signature); other firmware has it where nobody else can read it.
public struct FirmwareCapsule: Equatable, Sendable {
    /// The GUID of the firmware, lower case, as `fw_class` in sysfs.
    public let firmwareClass: String
    /// Bytes, header included.
    public let size: UInt64
    /// Nil where the capsule does not say it in a known form.
    public let version: UInt32?

    /// Why a file is no capsule that can be handed over.
    public struct Problem: Error, Equatable {
        public let why: String
    }

    /// 6dcbd5ed-e82d-4c44-bda1-7194199ad92a: firmware management capsules.
    private static let management = "6dcbd5ed-e82d-4c44-bda1-7194199ad92a"
    /// 4aafd29d-68df-49ee-8aa9-347d375665a7: a PKCS #7 signature before the payload.
    private static let signature = "4aafd29d-68df-49ee-8aa9-347d375665a7"
    /// Longest signature that is looked behind, bytes.
    private static let signatureLimit: UInt64 = 1 << 20

    /// Reads the headers of the capsule in a file, which may be longer than it.
    public init(_ file: borrowing Descriptor) throws(Problem) {
        let head = try Self.bytes(file, 0, 28)
        let header = UInt64(Self.number(head, 16))
        size = UInt64(Self.number(head, 24))
        let present: UInt64
        do throws(SystemError) { present = try file.size() } catch { throw Problem(why: error.context) }
        guard header >= 28, header < size, header <= 4096 else { throw Problem(why: "it has no capsule header") }
        if size > present { throw Problem(why: "it claims \(size) bytes and has \(present)") }
        let kind = Self.guid(head, 0)
        if kind != Self.management {
            firmwareClass = kind
            version = nil
            return
        }
        let list = try Self.bytes(file, header, 8)
        let drivers = UInt64(Self.number(list, 4) & 0xffff)
        let payloads = UInt64(Self.number(list, 6, 2))
        guard Self.number(list, 0) == 1, payloads == 1, drivers <= 64 else {
            throw Problem(why: "it has \(payloads) payloads, one is taken")
        }
        let low = try Self.bytes(file, header + 8 + drivers * 8, 8)
        let (place, overflow) = header.addingReportingOverflow(
            UInt64(Self.number(low, 0)) | UInt64(Self.number(low, 4)) << 32)
        guard !overflow, place + 48 <= size else { throw Problem(why: "its payload is behind its end") }
        let item = try Self.bytes(file, place, 40)
        firmwareClass = Self.guid(item, 4)
        let form = Self.number(item, 0)
        version = try Self.version(file, place + (form == 1 ? 32 : form == 2 ? 40 : 48))
    }

    /// Of EDK II's payload header: the signature `MSS1`, its length, the version, the lowest version that is taken.
    private static func version(_ file: borrowing Descriptor, _ payload: UInt64) throws(Problem) -> UInt32? {
        guard let start = try? bytes(file, payload, 32) else { return nil }
        var place = payload
        // A signature: a counter of eight bytes, then a certificate with its length and kind.
        if number(start, 12, 2) == 0x0200, number(start, 14, 2) == 0x0ef1, guid(start, 16) == signature {
            let length = UInt64(number(start, 8))
            if length > signatureLimit { return nil }
            place += 8 + length
        }
        guard let header = try? bytes(file, place, 16), number(header, 0) == 0x3153_534d else { return nil }
        return number(header, 8)
    }

    private static func bytes(
        _ file: borrowing Descriptor, _ place: UInt64, _ count: Int
    ) throws(Problem) -> [UInt8] {
        let found: [UInt8]
        do throws(SystemError) { found = try file.readBytes(at: place, count: count) } catch {
            throw Problem(why: error.context)
        }
        if found.count < count { throw Problem(why: "it ends after \(place + UInt64(found.count)) bytes") }
        return found
    }

    /// Little-endian.
    private static func number(_ bytes: [UInt8], _ place: Int, _ count: Int = 4) -> UInt32 {
        var value: UInt32 = 0
        for index in 0..<count { value |= UInt32(bytes[place + index]) << UInt32(8 * index) }
        return value
    }

    /// The text of a GUID, whose first three fields are little-endian.
    private static func guid(_ bytes: [UInt8], _ place: Int) -> String {
        var text = ""
        for (count, index) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].enumerated() {
            if count == 4 || count == 6 || count == 8 || count == 10 { text += "-" }
            text += Hex.digits(of: bytes[place + index])
        }
        return text
    }
}
