"""Makes a deployment of a .kedge bundle as Azure Device Update would sign it, with keys of its own, and root-key packages.

Usage: make-vectors.py > own.json
Needs Python's cryptography. The keys are made anew each time and thrown away: they protect nothing.
"""

import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def number(key):
    n = key.public_key().public_numbers().n
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def sign(key, data):
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def jws(key, header, payload):
    text = b64url(compact(header).encode()) + "." + b64url(compact(payload).encode())
    return text + "." + b64url(sign(key, text.encode()))


def new(bits=3072):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


first, second, third, signing, stranger = new(), new(), new(), new(), new()
roots = {"TEST.1.R": first, "TEST.2.R": second}


def jwk(key):
    return {"kty": "RSA", "n": b64url(number(key)), "e": "AQAB", "alg": "RS256", "kid": "TEST.1.R.S"}


def signature(manifest, key=signing, root=first, kid="TEST.1.R", alg="RS256", more={}):
    inner = jws(root, {"alg": alg, "kid": kid}, jwk(key))
    digest = base64.b64encode(hashlib.sha256(manifest.encode()).digest()).decode()
    return jws(key, {"alg": alg, "sjwk": inner, **more}, {"sha256": digest})


def package(version, keys, signers, roots_off=[], keys_off=[], **more):
    protected = {
        **more,
        "version": version,
        "published": 1700000000,
        "disabledRootKeys": roots_off,
        "disabledSigningKeys": [{"alg": "SHA256", "hash": value} for value in keys_off],
        "rootKeys": {kid: {"keyType": "RSA", "n": b64url(number(key)), "e": 65537} for kid, key in keys.items()},
    }
    body = compact(protected).encode()
    return compact({"protected": protected, "signatures": [{"alg": "RS256", "sig": b64url(sign(s, body))} for s in signers]})


def manifest(**change):
    value = {
        "manifestVersion": "5",
        "updateId": {"provider": "acme", "name": "edge-gateway", "version": "2.1.0"},
        "compatibility": [{"manufacturer": "acme", "model": "edge-gateway"}],
        "instructions": {
            "steps": [
                {
                    "handler": "kedge/bundle:1",
                    "files": ["f1a2b3"],
                    "handlerProperties": {"installedCriteria": hashlib.sha256(b"manifest").hexdigest()},
                }
            ]
        },
        "files": {
            "f1a2b3": {
                "fileName": "r.kedge",
                "sizeInBytes": 5574,
                "hashes": {"sha256": base64.b64encode(hashlib.sha256(b"bundle").digest()).decode()},
            }
        },
        "createdDateTime": "2026-01-01T00:00:00Z",
    }
    value.update(change)
    return compact(value)


def two(text):
    value = json.loads(text)
    value["instructions"]["steps"] *= 2
    return compact(value)


def handler(text):
    value = json.loads(text)
    value["instructions"]["steps"][0]["handler"] = "microsoft/apt:1"
    return compact(value)


good = manifest()
spki = signing.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
pkcs1 = signing.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
bad = {
    "other manifest": [manifest(createdDateTime="2026-01-02T00:00:00Z"), signature(good)],
    "unknown root": [good, signature(good, kid="TEST.9.R")],
    "root of another key": [good, signature(good, root=stranger)],
    "signing key not signed": [good, signature(good, key=signing, root=second)],
    "algorithm none": [good, signature(good, alg="none")],
    "critical header": [good, signature(good, more={"crit": ["x"]})],
    "no parts": [good, "abc"],
    "empty": [good, ""],
}
forged = signature(good).split(".")
other = signature(manifest(createdDateTime="x")).split(".")
bad["signature of another statement"] = [good, ".".join(forged[:2] + other[2:])]
unusable = {
    "version 3": manifest(manifestVersion="3"),
    "two steps": two(good),
    "another handler": handler(good),
    "detached": manifest(detachedManifestFileId="f1a2b3"),
    "no files": manifest(files={}),
}
both = [first, second]
packages = {
    "same": package(1, roots, both),
    "adds a key": package(2, {**roots, "TEST.3.R": third}, both),
    "disables the first root": package(3, roots, [second], roots_off=["TEST.1.R"]),
    "disables the signing key": package(3, roots, both, keys_off=[b64url(hashlib.sha256(spki).digest())]),
    "disables the signing key by PKCS 1": package(3, roots, both, keys_off=[b64url(hashlib.sha256(pkcs1).digest())]),
}
refused = {
    "one signature missing": package(4, roots, [first]),
    "a stranger's": package(4, {"TEST.9.R": stranger}, [stranger]),
    "all known roots disabled": package(4, {"TEST.9.R": stranger}, [stranger], roots_off=["TEST.1.R", "TEST.2.R"]),
    "a test package": package(4, roots, both, isTest=True),
    "changed after it was signed": package(4, roots, both).replace("1700000000", "1700000001"),
    "no JSON": "{",
}
print(
    json.dumps(
        {
            "roots": {kid: b64url(number(key)) for kid, key in roots.items()},
            "manifest": good,
            "signature": signature(good),
            "bad": bad,
            "unusable": {name: [text, signature(text)] for name, text in unusable.items()},
            "packages": packages,
            "refusedPackages": refused,
        },
        indent=1,
    )
)
