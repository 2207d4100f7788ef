public import Platform

/// One small file of the data directory that is replaced as a whole.
public protocol KeptDocument: AnyObject, Sendable {
    /// Its bytes; nil when it was never written.
    func read() throws(SystemError) -> [UInt8]?
    /// Replaces it and makes it durable: after a power cut the old or the new bytes are there.
    func write(_ bytes: [UInt8]) throws(SystemError)
}
