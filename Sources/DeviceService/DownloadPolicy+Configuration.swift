internal import BundleFormat
internal import UpdateEngine

extension DownloadPolicy {
    /// `[delta]` of device.ini.
    init(_ reader: inout ConfigurationReader) throws(ServiceError) {
        self.init()
        if let text = reader.optional("delta", "use") {
            guard let use = Use(rawValue: text) else {
                throw reader.problem("[delta] use = \(text) must be auto, always or never")
            }
            self.use = use
        }
        if let text = reader.optional("delta", "full") {
            guard let full = Full(rawValue: text) else {
                throw reader.problem("[delta] full = \(text) must be allow or never")
            }
            self.full = full
        }
        if use == .never, full == .never {
            throw reader.problem("[delta] use = never and full = never together leave nothing to install")
        }
        let most = try reader.bytes("delta", "most-bytes", 0...BundleLimits.bundle, default: 0)
        mostBytes = most == 0 ? nil : most
    }
}
