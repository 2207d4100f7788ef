public import Platform

/// Where a bundle is, as people and the twin write it.
public enum BundleLocation: Sendable, Equatable {
    /// An absolute or relative path.
    case file(path: String)
    case http(HTTPAddress)
    /// `-`.
    case standardInput

    /// Whether the text means standard input.
    public static func isStandardInput(_ text: String) -> Bool { text.utf8.elementsEqual("-".utf8) }

    /// Reads a path, a file URL (RFC 8089, local host only), an http(s) URL, or `-`; all else is `transfer.location`.
    public static func parse(_ text: String) throws(TransferError) -> BundleLocation {
        let bytes = Array(text.utf8)
        if bytes.isEmpty { throw TransferError.location(reason: "the bundle's location is empty") }
        if bytes.contains(0) { throw TransferError.location(reason: "the bundle's location has a NUL byte") }
        if isStandardInput(text) { return .standardInput }
        guard let scheme = scheme(of: bytes) else { return .file(path: text) }
        if scheme.elementsEqual("http".utf8) || scheme.elementsEqual("https".utf8) {
            return .http(try HTTPAddress(text))
        }
        if scheme.elementsEqual("file".utf8) { return .file(path: try path(ofFileURL: bytes[5...])) }
        let name = String(decoding: scheme, as: UTF8.self)
        throw TransferError.location(reason: "the scheme \(name) is not supported")
    }

    /// The place for messages: no credentials and no query string.
    public var displayName: String {
        switch self {
        case .file(let path): path
        case .http(let address): address.displayName
        case .standardInput: "standard input"
        }
    }

    /// Makes the source. A file is opened now; an http address is first asked by the first read.
    public func open(
        options: HTTPOptions = HTTPOptions(), time: any TimeSource = SystemTime(),
        random: any RandomSource = SystemRandom()
    ) throws(TransferError) -> any BundleSource {
        switch self {
        case .file(let path): try FileSource(path: path)
        case .http(let address): try HTTPSource(address, options: options, time: time, random: random)
        case .standardInput: try StreamSource.standardInput()
        }
    }

    /// The lower-case scheme, or nil for a path. A colon in a file name is no scheme unless `//` follows or the word
    /// is one that this program reads: `http:/host` is a mistyped URL and not a file.
    private static func scheme(of bytes: [UInt8]) -> [UInt8]? {
        guard let colon = bytes.firstIndex(of: 0x3a), colon > 0 else { return nil }
        let scheme = lowered(bytes[..<colon])
        for (index, byte) in scheme.enumerated() {
            let letter = byte >= 0x61 && byte <= 0x7a
            let other = (byte >= 0x30 && byte <= 0x39) || byte == 0x2b || byte == 0x2d || byte == 0x2e
            if !letter && !(index > 0 && other) { return nil }
        }
        if bytes[(colon + 1)...].starts(with: "//".utf8) { return scheme }
        for known in ["http", "https", "file"] where scheme.elementsEqual(known.utf8) { return scheme }
        return nil
    }

    /// `///path`, `//localhost/path` or `/path`, percent-decoded.
    private static func path(ofFileURL rest: ArraySlice<UInt8>) throws(TransferError) -> String {
        var encoded = rest
        if rest.starts(with: "//".utf8) {
            encoded = rest.dropFirst(2)
            let host = encoded.prefix { $0 != 0x2f }
            guard host.isEmpty || lowered(host).elementsEqual("localhost".utf8) else {
                throw TransferError.location(reason: "a file URL must name a file of this machine")
            }
            encoded = encoded.dropFirst(host.count)
        }
        guard encoded.first == 0x2f, let decoded = percentDecoded(encoded) else {
            throw TransferError.location(reason: "the file URL is malformed")
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    /// Nil for a broken escape, an escaped NUL, or a query or fragment, which files do not have.
    private static func percentDecoded(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
        var out: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            if byte == 0x3f || byte == 0x23 { return nil }
            if byte != 0x25 {
                out.append(byte)
                index += 1
                continue
            }
            guard index + 2 < bytes.endIndex, let high = nibble(bytes[index + 1]), let low = nibble(bytes[index + 2]),
                high << 4 | low != 0
            else { return nil }
            out.append(high << 4 | low)
            index += 3
        }
        return out
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
