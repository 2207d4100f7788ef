internal import COpenSSL
internal import Platform

/// A server's side of TLS for all connections of one address.
@safe final class TLSContext {
    fileprivate let raw: OpaquePointer

    init(_ files: HubCertificates.Files) throws(HubError) {
        guard let raw = unsafe kedge_tls_server(files.server, files.serverKey, files.authority) else {
            throw .certificates(path: FileSystem.parent(of: files.server))
        }
        unsafe self.raw = raw
    }

    deinit { unsafe SSL_CTX_free(raw) }
}

/// TLS over one socket that never blocks.
@safe final class TLSStream {
    /// What came of a step.
    enum Step: Equatable {
        case done(Int)
        /// The socket must be readable first.
        case wantsRead
        /// The socket must be writable first.
        case wantsWrite
        case ended
    }

    private let raw: OpaquePointer
    private(set) var isUp = false

    init?(_ context: TLSContext, socket: Int32) {
        guard let raw = unsafe SSL_new(context.raw) else { return nil }
        unsafe self.raw = raw
        guard unsafe SSL_set_fd(raw, socket) == 1 else { return nil }
        unsafe SSL_set_accept_state(raw)
    }

    deinit { unsafe SSL_free(raw) }

    /// Goes on with the handshake.
    func shakeHands() -> Step {
        ERR_clear_error()
        let result = unsafe SSL_do_handshake(raw)
        if result == 1 {
            isUp = true
            return .done(0)
        }
        return step(of: result)
    }

    /// What the client sent, up to 64 KiB.
    func read(into bytes: inout [UInt8]) -> Step {
        ERR_clear_error()
        bytes = [UInt8](repeating: 0, count: 64 * 1024)
        let count = unsafe SSL_read(raw, &bytes, Int32(bytes.count))
        if count > 0 {
            bytes.removeLast(bytes.count - Int(count))
            return .done(Int(count))
        }
        bytes = []
        return step(of: count)
    }

    /// Writes as much as goes.
    func write(_ bytes: ArraySlice<UInt8>) -> Step {
        ERR_clear_error()
        let count = unsafe bytes.withUnsafeBytes { unsafe SSL_write(raw, $0.baseAddress, Int32($0.count)) }
        return count > 0 ? .done(Int(count)) : step(of: count)
    }

    /// Says goodbye; the socket is closed by its owner.
    func shutdown() {
        ERR_clear_error()
        if isUp { _ = unsafe SSL_shutdown(raw) }
    }

    /// The certificate that the client showed.
    func certificate() -> PeerCertificate? {
        guard let shown = unsafe SSL_get1_peer_certificate(raw) else { return nil }
        defer { unsafe X509_free(shown) }
        var der = [UInt8](repeating: 0, count: 64 * 1024)
        let length = unsafe i2d_X509(shown, nil)
        guard length > 0, Int(length) <= der.count else { return nil }
        unsafe der.withUnsafeMutableBufferPointer { memory in
            var cursor = memory.baseAddress
            _ = unsafe i2d_X509(shown, &cursor)
        }
        der.removeLast(der.count - Int(length))
        var name = [CChar](repeating: 0, count: 256)
        let count = unsafe X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, &name, 256)
        let bytes = name.prefix(Int(max(0, count))).map { UInt8(bitPattern: $0) }
        let commonName = String(decoding: bytes, as: UTF8.self)
        return PeerCertificate(
            commonName: commonName, sha1: Hex.encode(CertificateText.digest(der, .sha1)),
            sha256: Hex.encode(CertificateText.digest(der, .sha256)),
            isTrusted: unsafe SSL_get_verify_result(raw) == Int(X509_V_OK))
    }

    private func step(of result: Int32) -> Step {
        switch unsafe SSL_get_error(raw, result) {
        case SSL_ERROR_WANT_READ: .wantsRead
        case SSL_ERROR_WANT_WRITE: .wantsWrite
        default: .ended
        }
    }
}
