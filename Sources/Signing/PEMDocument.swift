internal import COpenSSL
internal import Platform

/// The first PEM block of a file (RFC 7468): its label and its DER bytes.
@safe struct PEMDocument: ~Copyable {
    /// The label, for example `PRIVATE KEY`.
    let name: String
    private let der: UnsafeMutablePointer<UInt8>
    private let count: Int

    /// Reads a regular file of at most 16 KiB; a secret one must be its owner's alone.
    init(reading path: String, secret: Bool) throws(SigningError) {
        let text = try Self.read(path, secret: secret)
        guard let input = MemoryBIO(text) else { throw .library(operation: "read keys") }
        var label: UnsafeMutablePointer<CChar>?
        var headers: UnsafeMutablePointer<CChar>?
        var data: UnsafeMutablePointer<UInt8>?
        var length = 0
        guard unsafe PEM_read_bio(input.raw, &label, &headers, &data, &length) == 1, let label = unsafe label,
            let data = unsafe data
        else {
            ERR_clear_error()
            throw .invalid(path: path, why: "it is not a PEM file")
        }
        name = unsafe String(cString: label)
        unsafe der = data
        count = length
        unsafe CRYPTO_free(label, nil, 0)
        unsafe CRYPTO_free(headers, nil, 0)
    }

    /// Gives the DER bytes to one of OpenSSL's d2i functions, which moves the pointer that it is given.
    @unsafe func withDER<Result>(
        _ body: (UnsafeMutablePointer<UnsafePointer<UInt8>?>, Int) -> Result
    ) -> Result {
        var cursor: UnsafePointer<UInt8>? = unsafe UnsafePointer(der)
        return unsafe body(&cursor, count)
    }

    deinit { unsafe CRYPTO_clear_free(der, count, nil, 0) }

    private static func read(_ path: String, secret: Bool) throws(SigningError) -> [UInt8] {
        let found: (isFile: Bool, mode: UInt32, bytes: [UInt8])
        do throws(SystemError) { found = try facts(path) } catch { throw .system(error) }
        guard found.isFile else { throw .invalid(path: path, why: "it is not a file") }
        if secret && found.mode & 0o077 != 0 { throw .permissions(path: path, mode: found.mode) }
        if found.bytes.count > SigningKey.fileLimit { throw .invalid(path: path, why: "it is too long for a key") }
        return found.bytes
    }

    /// All from one open file: its path may name another one a moment later.
    private static func facts(
        _ path: String
    ) throws(SystemError) -> (isFile: Bool, mode: UInt32, bytes: [UInt8]) {
        let file = try Descriptor(open: path, [.read])
        guard case .file = try file.kind() else { return (false, 0, []) }
        let mode = try file.mode()
        let buffer = try AlignedBuffer(capacity: SigningKey.fileLimit + 1)
        let count = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
            try file.read(into: &bytes, at: 0)
        }
        let bytes = [UInt8](copying: buffer.bytes.extracting(0..<count))
        buffer.zero(from: 0, to: buffer.capacity)
        return (true, mode, bytes)
    }
}
