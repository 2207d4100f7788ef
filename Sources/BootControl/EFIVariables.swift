public import Platform

/// EFI variables of the global namespace, as Linux shows them in efivarfs: four bytes of attributes, then the value.
public struct EFIVariables: Sendable {
    /// Where efivarfs is mounted.
    public let path: String
    /// EFI_GLOBAL_VARIABLE of the UEFI specification, section 3.3.
    private static let namespace = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    /// Kept over power-off, visible to the boot services and at run time (section 8.2).
    static let attributes: [UInt8] = [7, 0, 0, 0]

    /// Where Linux mounts it.
    public static let place = "/sys/firmware/efi/efivars"

    public init(path: String = place) { self.path = path }

    private func file(_ name: String) -> String { path + "/" + name + Self.namespace }

    /// A variable's value; nil when there is none.
    public func read(_ name: String) throws(SystemError) -> [UInt8]? {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try FileSystem.read(file(name), limit: 65536) } catch {
            if error.number == SystemError.notFound { return nil }
            throw error
        }
        guard bytes.count >= 4 else {
            throw SystemError(number: SystemError.invalid, operation: "read", subject: file(name))
        }
        return Array(bytes[4...])
    }

    /// Sets a variable by a single write, as efivarfs wants it. The firmware makes it durable; there is no flush.
    public func write(_ name: String, _ value: [UInt8]) throws(SystemError) {
        let variable = try Descriptor(open: file(name), [.write, .create, .truncate])
        try variable.write((Self.attributes + value).rawBytes, at: 0)
    }

    /// Removes a variable; one that is not there is no error.
    public func remove(_ name: String) throws(SystemError) { try FileSystem.remove(file(name)) }

    /// A list of 16-bit numbers; nil when there is no such variable. An odd last byte is left out.
    func numbers(_ name: String) throws(SystemError) -> [UInt16]? {
        guard let bytes = try read(name) else { return nil }
        var out: [UInt16] = []
        var index = 0
        while index + 1 < bytes.count {
            out.append(UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8)
            index += 2
        }
        return out
    }

    func write(_ name: String, numbers: [UInt16]) throws(SystemError) {
        var bytes: [UInt8] = []
        for number in numbers { bytes += [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)] }
        try write(name, bytes)
    }
}
