internal import BundleFormat
public import StrictJSON

extension BundleReport {
    /// For machines. `verified` is always false: `kedge verify` tells more.
    public var json: JSONValue {
        .members([
            ("path", .string(path)), ("verified", .bool(false)), ("manifestDigest", .string(manifestDigest.hex)),
            (
                "header",
                .members([
                    ("formatVersion", .integer(Int64(BundleHeader.version))),
                    ("signatureBytes", .integer(Int64(header.envelopeLength))),
                    ("manifestBytes", .integer(Int64(header.manifestLength))),
                    ("tableBytes", .integer(Int64(header.tablesLength))),
                    ("payloadBytes", .integer(Int64(clamping: header.payloadLength))),
                    ("bundleBytes", .integer(Int64(clamping: header.totalLength))),
                ])
            ),
            (
                "signatures",
                .array(
                    signatures.map {
                        .members([("algorithm", .string($0.algorithm)), ("keyID", .string($0.keyID.hex))])
                    })
            ),
            ("images", .array(images.map { $0.json })), ("manifest", manifest.json),
        ])
    }

    /// For people.
    public var text: String {
        var lines = [
            "release     \(manifest.releaseID), version \(manifest.version), \(manifest.update.rawValue) update",
            "for         \(manifest.product.vendor) \(manifest.product.deviceClass), hardware "
                + "\(manifest.product.hardware.lowerBound) to \(manifest.product.hardware.upperBound)",
            "sequence    \(manifest.sequence), security version \(manifest.securityVersion), "
                + "needs kedged \(manifest.minimumUpdater)",
            "created     \(CalendarTime.text(manifest.created))",
        ]
        if let notBefore = manifest.notBefore { lines.append("not before  \(CalendarTime.text(notBefore))") }
        if let expires = manifest.expires { lines.append("expires     \(CalendarTime.text(expires))") }
        if !manifest.advisories.isEmpty {
            lines.append("advisories  \(manifest.advisories.joined(separator: ", "))")
        }
        if let digest = manifest.sbomDigest, let format = manifest.sbomFormat {
            lines.append("sbom        \(format), sha256 \(digest.hex)")
        }
        lines.append(
            "reboot      \(manifest.reboot.rawValue), healthy within \(manifest.healthDeadline) seconds")
        for note in manifest.meta { lines.append("meta        \(note.name) = \(note.value)") }
        lines.append("manifest    \(manifestDigest.hex)")
        lines.append(
            "bundle      \(ByteCount.text(header.totalLength)), of it payload "
                + "\(ByteCount.text(header.payloadLength)) for \(ByteCount.text(manifest.imageBytes)) of images")
        for image in images { lines += image.lines }
        if signatures.isEmpty { lines.append("signature   none") }
        for signature in signatures {
            lines.append("signature   \(signature.algorithm) by key \(signature.keyID.hex)")
        }
        lines.append("Nothing of this is verified. `kedge verify` checks it against a trust root.")
        return lines.joined(separator: "\n")
    }
}

extension BundleReport.Image {
    private func bytes(_ payload: UInt64, _ table: PayloadPiece) -> JSONValue {
        .integer(Int64(clamping: payload + UInt64(table.length)))
    }

    var json: JSONValue {
        .members([
            ("id", .string(component.id.text)), ("size", .integer(Int64(clamping: component.size))),
            ("windows", .integer(Int64(windows))), ("zero", .integer(Int64(zero))),
            ("stored", .integer(Int64(plain))), ("zstd", .integer(Int64(compressed))),
            ("shared", .integer(Int64(shared))), ("storedBytes", .integer(Int64(clamping: storedBytes))),
            ("ratioPermille", .integer(Int64(clamping: ByteCount.permille(storedBytes, of: component.size)))),
            (
                "deltas",
                .array(
                    component.deltas.map {
                        .members([
                            ("base", .string($0.base.digest.hex)),
                            ("bytes", .integer(Int64(clamping: $0.payload + UInt64($0.table.length)))),
                        ])
                    })
            ),
            ("solidBytes", component.solid.map { bytes($0.payload, $0.table) } ?? .null),
            ("blocksBytes", component.blocks.map { bytes($0.payload, $0.index) } ?? .null),
            ("note", note.map { .string($0) } ?? .null),
        ])
    }

    /// What a form costs to fetch, as a share of the windows.
    private func cost(_ payload: UInt64, _ table: PayloadPiece) -> String {
        let bytes = payload + UInt64(table.length)
        return "\(ByteCount.text(bytes)), table \(ByteCount.text(UInt64(table.length))) included "
            + "(\(ByteCount.percent(bytes, of: component.size)))"
    }

    var lines: [String] {
        let version = component.version.map { ", version \($0)" } ?? ""
        var lines = [
            "component   \(component.id): \(component.kind.rawValue) for slot \(component.target)\(version)",
            "            \(ByteCount.text(component.size)), sha256 \(component.digest.hex)",
            "            \(windows) windows: \(compressed) zstd, \(plain) stored, \(zero) zero, "
                + "\(shared) of them shared; adds \(ByteCount.text(storedBytes)) "
                + "(\(ByteCount.percent(storedBytes, of: component.size)))",
        ]
        if let root = component.verityRoot { lines.append("            dm-verity root \(root.hex)") }
        for delta in component.deltas {
            lines.append(
                "            delta from \(delta.base.digest.hex) (\(ByteCount.text(delta.base.size))): "
                    + cost(delta.payload, delta.table))
        }
        if let solid = component.solid { lines.append("            solid: " + cost(solid.payload, solid.table)) }
        if let blocks = component.blocks {
            lines.append(
                "            blocks: index \(ByteCount.text(UInt64(blocks.index.length))), and of "
                    + "\(ByteCount.text(blocks.payload)) what the device does not hold")
        }
        if let note { lines.append("            note: \(note)") }
        return lines
    }
}
