internal import COpenSSL

/// Owns an OpenSSL stream over memory; what it holds is wiped when it goes.
@safe struct MemoryBIO: ~Copyable {
    let raw: OpaquePointer

    /// A stream that holds these bytes and can be written to and read from.
    init?(_ bytes: [UInt8] = []) {
        guard let made = unsafe BIO_new(BIO_s_mem()) else { return nil }
        let written = unsafe bytes.withUnsafeBufferPointer { memory in
            unsafe memory.isEmpty ? 0 : BIO_write(made, memory.baseAddress, Int32(clamping: memory.count))
        }
        if written != bytes.count {
            unsafe BIO_free_all(made)
            return nil
        }
        unsafe raw = made
    }

    /// Lets `body` read what was written and not read yet.
    func withBytes<Result, E: Error>(_ body: (RawSpan) throws(E) -> Result) throws(E) -> Result {
        var memory: UnsafeMutablePointer<CChar>?
        // BIO_get_mem_data is a macro over this call.
        let count = unsafe BIO_ctrl(raw, BIO_CTRL_INFO, 0, &memory)
        guard let base = unsafe memory, count > 0 else { return try body(RawSpan()) }
        return try body(unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: count))
    }

    deinit {
        var memory: UnsafeMutablePointer<CChar>?
        let count = unsafe BIO_ctrl(raw, BIO_CTRL_INFO, 0, &memory)
        if let base = unsafe memory, count > 0 { unsafe OPENSSL_cleanse(base, count) }
        unsafe BIO_free_all(raw)
    }
}
