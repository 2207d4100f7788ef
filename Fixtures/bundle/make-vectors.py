#!/usr/bin/env python3
"""Writes the golden vectors of the bundle format and of the trust root beside this file.

An encoder of its own, from the description of the format and without any Kedge code: struct for the binary parts,
json for the documents, `openssl pkeyutl` for the signatures. Run it in any directory; the output is the same each
time, because the test keys are fixed (the private keys of RFC 8032 section 7.1, tests 1 to 3).
"""
import base64
import hashlib
import json
import os
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TRUST = os.path.join(HERE, "..", "trust")
SECRETS = [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
]


def sha(data):
    return hashlib.sha256(data).digest()


class Key:
    def __init__(self, secret):
        # PKCS#8 of RFC 8410 section 7: a fixed prefix before the 32 bytes.
        self.der = bytes.fromhex("302e020100300506032b657004220420" + secret)
        self.public = self.run("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=self.der)[-32:]
        self.id = sha(b"\x01" + self.public)

    @staticmethod
    def run(*arguments, data=None):
        return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout

    def sign(self, kind, payload):
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        with tempfile.TemporaryDirectory() as directory:
            names = [os.path.join(directory, name) for name in ("key", "message")]
            for name, data in zip(names, (self.der, pae)):
                with open(name, "wb") as file:
                    file.write(data)
            return self.run("pkeyutl", "-sign", "-rawin", "-inkey", names[0], "-keyform", "DER", "-in", names[1])


def compact(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


root_key, release_key, other_key = (Key(secret) for secret in SECRETS)


def make_bundle(identity, tail, frame):
    """Three windows of 4096 bytes: stored, zero, and a short one that is said to be zstd."""
    plain = bytes(range(256)) * 16
    image = plain + bytes(4096) + tail
    table = b"KTBL" + struct.pack("<HHIIQQ", 1, 0, 4096, 3, len(image), 0) + bytes([1, 0, 2])
    table += sha(plain) + sha(plain) + struct.pack("<QI", 0, len(plain))
    table += sha(tail) + sha(frame) + struct.pack("<QI", len(plain), len(frame))
    payload = plain + frame
    manifest = compact({
        "type": "kedge.manifest",
        "format": 1,
        "release": {"id": identity, "version": "2025.11 \"résumé\""},
        "sequence": 9007199254740991,
        "securityVersion": 4294967295,
        "product": {"vendor": "Example", "class": "gateway", "hardware": [0, 4294967295]},
        "minimumUpdater": "0.1.0",
        "created": 1700000000,
        "notBefore": 0,
        "expires": 253402300799,
        "update": "security",
        "advisories": ["CVE-2025-0001", "CVE-2025-0002"],
        "sbom": {"sha256": sha(b"sbom").hex(), "format": "CycloneDX 1.6"},
        "components": [{
            "id": "rootfs", "kind": "rootfs", "target": "rootfs", "version": "12.5", "size": len(image),
            "sha256": sha(image).hex(), "window": 4096,
            "table": {"offset": 0, "length": len(table), "sha256": sha(table).hex()},
            "verity": sha(b"verity").hex(),
        }],
        "reboot": "automatic",
        "health": {"deadline": 300},
        "layout": {"tables": len(table), "payload": len(payload)},
        "meta": {"ticket": "none", "note": "line"},
    })
    section = struct.pack("<H", 2)
    for key in (release_key, other_key):
        signature = key.sign(b"application/vnd.kedge.manifest.v1+json", manifest)
        section += struct.pack("<BBH", 1, 0, len(signature)) + key.id + signature
    total = 64 + len(section) + len(manifest) + len(table) + len(payload) + 16
    header = b"\x8bKEDGE\r\n" + struct.pack(
        "<HHIIIQQQQQ", 1, 0, len(section), len(manifest), 0, len(table), len(payload), total, 0, 0)
    end = b"KEDGEEND" + struct.pack("<Q", total)
    return header, section, manifest, table, header + section + manifest + table + payload + end


# The table does not look inside a window, so the first bundle's last one need not be a frame.
header, section, manifest, table, bundle = make_bundle("2025.11-gateway", b"kedge" * 20, b"not really a frame")
# A frame of RFC 8878 by hand: single segment with a content size of two bytes, and one last RLE block.
frame = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", 3000 - 256) + (3000 << 3 | 3).to_bytes(3, "little") + b"k"
release = make_bundle("2025.11-whole", b"k" * 3000, frame)[-1]

root = compact({
    "type": "kedge.root", "format": 1, "version": 1, "environment": "dev", "created": 1700000000,
    "keys": [
        {"algorithm": "ed25519", "public": key.public.hex(), "name": name}
        for key, name in ((root_key, "root"), (release_key, "release"), (other_key, "second release"))
    ],
    "roles": {
        "root": {"keys": [root_key.id.hex()], "threshold": 1},
        "release": {"keys": [release_key.id.hex(), other_key.id.hex()], "threshold": 2},
    },
    "revoked": [], "deniedReleases": [], "floor": 3,
})
root_kind = b"application/vnd.kedge.root.v1+json"
root_file = compact({
    "payloadType": root_kind.decode(),
    "payload": base64.b64encode(root).decode(),
    "signatures": [
        {"keyid": root_key.id.hex(), "sig": base64.b64encode(root_key.sign(root_kind, root)).decode()}],
})

for name, data in {
    "header.bin": header, "signatures.bin": section, "manifest.json": manifest, "table.bin": table,
    "bundle.kedge": bundle, "release.kedge": release,
}.items():
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(data)
with open(os.path.join(TRUST, "root.json"), "wb") as file:
    file.write(root_file)
