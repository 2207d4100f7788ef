/// One connection, for as long as the server runs.
public typealias HubConnection = Int

/// What comes to the hub from outside.
public enum HubEvent: Equatable, Sendable {
    /// A TLS connection of a device is up.
    case opened(HubConnection, PeerCertificate?)
    /// Bytes of a device.
    case received(HubConnection, [UInt8])
    /// A connection ended, whoever ended it.
    case closed(HubConnection)
    /// A request to the service API or to provisioning over HTTPS.
    case request(HubConnection, HTTPRequest)
    /// Time went by.
    case tick
}

/// What the hub wants done, in this order.
public enum HubEffect: Equatable, Sendable {
    /// Bytes to a device, after so many milliseconds.
    case send(HubConnection, [UInt8], after: UInt64)
    case close(HubConnection)
    /// The answer to a request.
    case respond(HubConnection, HTTPResponse)
    /// The state changed and is to be kept.
    case save
    /// Something for a person to read.
    case note(String)
}
