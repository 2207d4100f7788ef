internal import Platform

/// The release that a gateway leaves the factory with.
enum FactoryRelease {
    /// Puts a trust store on the gateway, after reading it as the device will.
    static func copyTrust(_ root: String, to path: String) throws(GatewayError) {
        try asGateway { () throws(SystemError) in
            try FileSystem.replace(path, with: try FileSystem.read(root, limit: 1 << 20))
        }
    }
}
