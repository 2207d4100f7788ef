internal import Platform
internal import StrictJSON

extension EmulatedHub {
    /// Registration of a device with a TPM: a challenge first, then the same request with a token that only the TPM
    /// which opened the challenge can sign.
    mutating func provisionByTPM(
        _ request: HTTPRequest, _ enrollment: HubEnrollment, endorsementKey: [UInt8], _ token: AccessToken?,
        _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let id = enrollment.id
        guard enrollment.isEnabled else {
            return Self.provisioningError(401, 401_002, "the registration is disabled")
        }
        if let token {
            guard let key = challenges[id],
                token.problem(opening: "\(settings.idScope)/registrations/\(id)", keys: [key], now: now.seconds) == nil
            else { return Self.provisioningError(401, 401_003, "the token is not signed with the challenge's key") }
            return assignByTPM(request, enrollment, key, now, &effects)
        }
        let sent: JSONValue
        do throws(JSONError) { sent = try .parse(request.body, limit: 64 * 1024) } catch {
            return Self.provisioningError(400, 400_000, error.context)
        }
        guard let shown = sent.value(at: ["tpm", "endorsementKey"])?.text.flatMap({ Base64.decode($0) }),
            let root = sent.value(at: ["tpm", "storageRootKey"])?.text.flatMap({ Base64.decode($0) })
        else { return Self.provisioningError(400, 400_000, "endorsementKey and storageRootKey are needed") }
        guard shown == endorsementKey else {
            return Self.provisioningError(401, 401_002, "the endorsement key is not the enrolled one")
        }
        let key = random(32)
        guard
            let challenge = TPMChallenge(
                wrapping: key, endorsementKey: shown, storageRootKey: root, random: random)
        else { return Self.provisioningError(400, 400_000, "the keys are no RSA keys of a TPM") }
        challenges[id] = key
        effects.append(.note("registration \(id): challenged its TPM"))
        return .json(
            .members([
                ("errorCode", .integer(401_000)), ("message", .string("Authorization required")),
                ("authenticationKey", .string(Base64.encode(challenge.blob))),
            ]), status: 401)
    }

    /// The key that opened the challenge becomes the device's key at the hub too.
    private mutating func assignByTPM(
        _ request: HTTPRequest, _ enrollment: HubEnrollment, _ key: [UInt8], _ now: HubTime,
        _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        if request.method == "PUT" {
            let device = enrollment.device(registration: enrollment.id)
            assign(device, .keys(primary: key, secondary: key), enrollment.initialTwin, now, &effects)
        }
        return httpsAnswer(request, enrollment.id, by: enrollment, now, &effects)
    }
}
