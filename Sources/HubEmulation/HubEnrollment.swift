internal import COpenSSL
internal import Platform
internal import StrictJSON

/// How a device proves to the provisioning service that it is the one that was enrolled.
enum HubAttestation: Equatable, Sendable {
    case keys(primary: [UInt8], secondary: [UInt8])
    /// Thumbprints of its certificate, or none: any that a known authority signed for the registration id.
    case certificate(thumbprints: [String])
    /// TPM2B_PUBLIC of the endorsement key.
    case tpm(endorsementKey: [UInt8])
}

/// Who may register: one device, or all who have a key derived from the group's or a certificate of a known authority.
struct HubEnrollment: Equatable, Sendable {
    /// Named as in the service's API.
    enum Kind: String, Sendable, CaseIterable {
        case individual = "enrollments"
        case group = "enrollmentGroups"
    }

    let kind: Kind
    /// The registration id of the device, or the name of the group.
    let id: String
    /// The device id of an individual enrollment; empty: the registration id.
    var deviceID = ""
    var attestation: HubAttestation
    var isEnabled: Bool
    var initialTwin: JSONValue
    var revision: Int64

    /// The id that a device gets which registers by this enrollment.
    func device(registration: String) -> String { deviceID.isEmpty ? registration : deviceID }

    /// What the identity at the hub is made with. `known` is its credential if it exists already.
    func credential(
        registration: String, certificate: PeerCertificate?, known: HubCredential?
    ) -> HubCredential {
        switch attestation {
        case .keys(let primary, let secondary):
            kind == .individual
                ? .keys(primary: primary, secondary: secondary)
                : .keys(
                    primary: EmulatedHub.deviceKey(primary, registration),
                    secondary: EmulatedHub.deviceKey(secondary, registration))
        case .certificate: .thumbprints(primary: certificate?.sha256 ?? "", secondary: "")
        // Its key came with the challenge: the identity has it already.
        case .tpm: known ?? .authority
        }
    }

    /// As the service's API answers.
    var json: JSONValue {
        var members: [(String, JSONValue)] =
            kind == .group
            ? [("enrollmentGroupId", .string(id))]
            : [("registrationId", .string(id)), ("deviceId", .string(deviceID))]
        members += [
            ("attestation", attestation.json), ("provisioningStatus", .string(isEnabled ? "enabled" : "disabled")),
            ("initialTwin", initialTwin), ("etag", .string(Base64.encode(Array("e\(revision)".utf8)))),
        ]
        return .members(members)
    }

    /// As it is kept in the hub's file.
    var stored: JSONValue {
        .members([
            ("deviceId", .string(deviceID)), ("attestation", attestation.json), ("enabled", .bool(isEnabled)),
            ("initialTwin", initialTwin), ("revision", .integer(revision)),
        ])
    }

    /// From the hub's file; nil for what is damaged.
    init?(stored: JSONValue, kind: Kind, id: String, random: (Int) -> [UInt8]) {
        guard let attestation = HubAttestation(stored["attestation"] ?? .null, random: random) else { return nil }
        self.init(
            kind: kind, id: id, deviceID: stored["deviceId"]?.text ?? "", attestation: attestation,
            isEnabled: stored["enabled"]?.flag ?? true, initialTwin: stored["initialTwin"] ?? .null,
            revision: stored["revision"]?.number ?? 1)
    }

    init(
        kind: Kind, id: String, deviceID: String = "", attestation: HubAttestation, isEnabled: Bool,
        initialTwin: JSONValue, revision: Int64
    ) {
        self.kind = kind
        self.id = id
        self.deviceID = deviceID
        self.attestation = attestation
        self.isEnabled = isEnabled
        self.initialTwin = initialTwin
        self.revision = revision
    }
}

/// A registration that a device polls.
struct ProvisioningOperation: Equatable, Sendable {
    let registrationID: String
    let deviceID: String
    /// How often it was asked for: the first answer is "assigning".
    var polls = 0
}

extension HubAttestation {
    /// From an enrollment of the provisioning service's API; nil for one that it would refuse.
    init?(_ value: JSONValue, random: (Int) -> [UInt8]) {
        switch value["type"]?.text {
        case "symmetricKey":
            let keys = value["symmetricKey"] ?? .null
            func key(_ name: String) -> [UInt8]? {
                guard let text = keys[name]?.text, !text.isEmpty else { return random(64) }
                return EmulatedHub.key(text)
            }
            guard let primary = key("primaryKey"), let secondary = key("secondaryKey") else { return nil }
            self = .keys(primary: primary, secondary: secondary)
        case "x509":
            let certificates = value["x509"]?["clientCertificates"]
            var prints: [String] = []
            for name in ["primary", "secondary"] {
                guard let entry = certificates?[name] else { continue }
                if let print = entry["info"]?["sha256Thumbprint"]?.text { prints.append(print.lowercased()) }
                if let pem = entry["certificate"]?.text {
                    guard let print = CertificateText.thumbprint(ofPEM: pem) else { return nil }
                    prints.append(print)
                }
            }
            if certificates != nil, prints.isEmpty { return nil }
            self = .certificate(thumbprints: prints)
        case "tpm":
            guard let text = value["tpm"]?["endorsementKey"]?.text, let key = Base64.decode(text), key.count > 2 else {
                return nil
            }
            self = .tpm(endorsementKey: key)
        default: return nil
        }
    }

    var json: JSONValue {
        switch self {
        case .keys(let primary, let secondary):
            .members([
                ("type", .string("symmetricKey")),
                (
                    "symmetricKey",
                    .members([
                        ("primaryKey", .string(Base64.encode(primary))),
                        ("secondaryKey", .string(Base64.encode(secondary))),
                    ])
                ),
            ])
        case .certificate(let prints):
            .members([
                ("type", .string("x509")),
                (
                    "x509",
                    .members([
                        (
                            "clientCertificates",
                            prints.isEmpty
                                ? .null
                                : .members(
                                    zip(["primary", "secondary"], prints).map { name, print in
                                        (name, .members([("info", .members([("sha256Thumbprint", .string(print))]))]))
                                    })
                        )
                    ])
                ),
            ])
        case .tpm(let key):
            .members([
                ("type", .string("tpm")), ("tpm", .members([("endorsementKey", .string(Base64.encode(key)))])),
            ])
        }
    }
}

/// Certificates as text.
enum CertificateText {
    /// SHA-256 of the first certificate of a PEM text (or of bare base64), lower-case hexadecimal.
    static func thumbprint(ofPEM text: String) -> String? {
        let begin = "-----BEGIN CERTIFICATE-----"
        let end = "-----END CERTIFICATE-----"
        var body = Substring(text)
        if let start = text.range(of: begin) {
            guard let stop = text.range(of: end) else { return nil }
            guard start.upperBound <= stop.lowerBound else { return nil }
            body = text[start.upperBound..<stop.lowerBound]
        }
        guard let der = Base64.decode(String(body.filter { !$0.isWhitespace })), !der.isEmpty else { return nil }
        return Hex.encode(digest(der, EVPName.sha256))
    }

    enum EVPName: String {
        case sha1 = "SHA1"
        case sha256 = "SHA256"
    }

    static func digest(_ bytes: [UInt8], _ name: EVPName) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: name == .sha1 ? 20 : 32)
        let done = unsafe EVP_Q_digest(nil, name.rawValue, nil, bytes, bytes.count, &out, nil)
        precondition(done == 1, "\(name.rawValue) is in every OpenSSL")
        return out
    }
}

extension String {
    /// The first place of a text in this one.
    fileprivate func range(of other: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(other) { return start..<index(start, offsetBy: other.count) }
            start = index(after: start)
        }
        return nil
    }
}
