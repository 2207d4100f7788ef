#!/usr/bin/env python3
"""Writes the golden vectors of ML-DSA and of hybrid trust: ml-dsa.txt and hybrid-root.json beside this file, and
../bundle/hybrid.kedge.

The signatures are by dilithium-py 1.5.1 (PyPI), FIPS 204 in Python that shares no code with OpenSSL and none with
Kedge; `pip install dilithium-py==1.5.1` first. Deterministic signing and seeds of counted bytes: the output is the
same each time. The bundle is bundle/release.kedge with other signatures, so make that first. Ed25519 is by `openssl
pkeyutl`, with the private keys of RFC 8032 section 7.1, tests 1 and 2.
"""
import base64
import hashlib
import json
import os
import struct
import subprocess
import tempfile

from dilithium_py.ml_dsa import ML_DSA_65, ML_DSA_87

HERE = os.path.dirname(os.path.abspath(__file__))
BUNDLE = os.path.join(HERE, "..", "bundle")
MANIFEST_TYPE = b"application/vnd.kedge.manifest.v1+json"
ROOT_TYPE = b"application/vnd.kedge.root.v1+json"


class MLDSA:
    """A key by a seed of 32 equal bytes."""

    def __init__(self, scheme, number, name, byte):
        self.scheme, self.number, self.name, self.seed = scheme, number, name, bytes([byte]) * 32
        self.public, self.secret = scheme.key_derive(self.seed)
        self.id = hashlib.sha256(bytes([number]) + self.public).digest()

    def sign(self, message):
        return self.scheme.sign(self.secret, message, deterministic=True)


class Ed25519:
    number, name = 1, "ed25519"

    def __init__(self, secret):
        # PKCS#8 of RFC 8410 section 7: a fixed prefix before the 32 bytes.
        self.der = bytes.fromhex("302e020100300506032b657004220420" + secret)
        self.public = subprocess.run(
            ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=self.der, capture_output=True,
            check=True).stdout[-32:]
        self.id = hashlib.sha256(b"\x01" + self.public).digest()

    def sign(self, message):
        with tempfile.TemporaryDirectory() as directory:
            names = [os.path.join(directory, name) for name in ("key", "message")]
            for name, data in zip(names, (self.der, message)):
                with open(name, "wb") as file:
                    file.write(data)
            return subprocess.run(
                ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", names[0], "-keyform", "DER", "-in", names[1]],
                capture_output=True, check=True).stdout


def pre_authentication(kind, payload):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def compact(document):
    return json.dumps(document, separators=(",", ":")).encode()


def write(directory, name, data):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)


lines = []
for scheme, number, name in ((ML_DSA_65, 3, "ml-dsa-65"), (ML_DSA_87, 4, "ml-dsa-87")):
    for byte, message in ((1, b"abc"), (2, b"")):
        key = MLDSA(scheme, number, name, byte)
        lines.append(" ".join([
            name, key.seed.hex(), key.public.hex(), message.hex() or "-", key.sign(message).hex()]))
write(HERE, "ml-dsa.txt", ("\n".join(lines) + "\n").encode())

root_pair = (
    Ed25519("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
    MLDSA(ML_DSA_87, 4, "ml-dsa-87", 3))
release_pair = (
    Ed25519("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
    MLDSA(ML_DSA_65, 3, "ml-dsa-65", 4))


def role(pair):
    return {"all": [{"name": key.name, "keys": [key.id.hex()], "threshold": 1} for key in pair]}


document = compact({
    "type": "kedge.root", "format": 1, "version": 1, "environment": "dev", "created": 1700000000,
    "keys": [
        {"algorithm": key.name, "public": key.public.hex(), "name": name}
        for name, pair in (("root", root_pair), ("release", release_pair)) for key in pair],
    "roles": {"root": role(root_pair), "release": role(release_pair)},
    "revoked": [], "deniedReleases": [], "floor": 3,
})
write(HERE, "hybrid-root.json", compact({
    "payloadType": ROOT_TYPE.decode(), "payload": base64.b64encode(document).decode(),
    "signatures": [
        {"keyid": key.id.hex(),
         "sig": base64.b64encode(key.sign(pre_authentication(ROOT_TYPE, document))).decode()} for key in root_pair],
}))

with open(os.path.join(BUNDLE, "release.kedge"), "rb") as file:
    bundle = file.read()
header = struct.Struct("<8sHHIIIQQQQQ")
magic, version, _, envelope, manifest, _, tables, payload, _, _, _ = header.unpack_from(bundle)
start = header.size + envelope
text = bundle[start:start + manifest]
section = struct.pack("<H", 2)
for key in release_pair:
    signature = key.sign(pre_authentication(MANIFEST_TYPE, text))
    section += struct.pack("<BBH", key.number, 0, len(signature)) + key.id + signature
total = header.size + len(section) + manifest + tables + payload + 16
write(BUNDLE, "hybrid.kedge",
      header.pack(magic, version, 0, len(section), manifest, 0, tables, payload, total, 0, 0) + section
      + bundle[start:-16] + b"KEDGEEND" + struct.pack("<Q", total))
