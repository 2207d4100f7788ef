"""A fleet of simulated gateways at a hub: registers them, connects each by MQTT over TLS with its own key, and does what
the desired `ota` section says as kedged would, in as far as a back end can see it.

Usage: simulated-fleet.py DIRECTORY ADDRESS CONNECTION_STRING JSON
DIRECTORY has the hub's ca.pem. JSON: {"count": 200, "lab": 20, "failing": ["gw-000"], "silent": ["gw-001"],
"seconds": 0.2, "log": "file"}: the first `lab` devices have the tag site = lab, the others site = plant; `silent` ones
never connect; an attempt takes `seconds`. Each attempt that begins or ends is a line of the log.
Prints "ready" when all are connected, and ends with its standard input.
"""

import base64
import hashlib
import hmac
import http.client
import json
import selectors
import socket
import ssl
import sys
import time
import urllib.parse

directory, address, owner, text = sys.argv[1:]
options = json.loads(text)
HOST = "hub.example.test"
parts = dict(field.split("=", 1) for field in owner.split(";"))
context = ssl.create_default_context(cafile=directory + "/ca.pem")
log = open(options["log"], "a", buffering=1)
names = ["gw-%03d" % number for number in range(options["count"])]
quote = lambda text: urllib.parse.quote(text, safe="")


def token(resource, key, policy=None):
    expiry = str(int(time.time()) + 3600)
    signed = (quote(resource) + "\n" + expiry).encode()
    code = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    made = "SharedAccessSignature sr=%s&sig=%s&se=%s" % (quote(resource), quote(code), expiry)
    return made + ("&skn=" + policy if policy else "")


def key(name):
    return hashlib.sha256(name.encode()).digest()


def admin():
    service = http.client.HTTPSConnection(parts["HostName"], context=context)
    secret = base64.b64decode(parts["SharedAccessKey"])
    headers = {"Authorization": token(parts["HostName"], secret, "iothubowner"), "Content-Type": "application/json"}

    def call(method, path, body):
        service.request(method, path + "?api-version=2021-04-12", json.dumps(body), {**headers, "If-Match": "*"})
        answer = service.getresponse()
        data = answer.read()
        assert answer.status < 300, (path, answer.status, data)

    for start in range(0, len(names), 100):
        entries = [
            {
                "id": name,
                "importMode": "createOrUpdate",
                "authentication": {
                    "type": "sas",
                    "symmetricKey": {
                        "primaryKey": base64.b64encode(key(name)).decode(),
                        "secondaryKey": base64.b64encode(key(name)).decode(),
                    },
                },
            }
            for name in names[start : start + 100]
        ]
        call("POST", "/devices", entries)
    for number, name in enumerate(names):
        call("PATCH", "/twins/" + name, {"tags": {"site": "lab" if number < options["lab"] else "plant"}})


def packet(first, body):
    out, length = bytes([first]), len(body)
    while True:
        out += bytes([length % 128 | (128 if length > 127 else 0)])
        length //= 128
        if not length:
            return out + body


def field(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


class Gateway:
    def __init__(self, name):
        self.name, self.buffer, self.desired = name, b"", {}
        self.attempt, self.ends_at, self.left, self.done = None, None, None, {}
        raw = socket.create_connection((address, 8883))
        self.socket = context.wrap_socket(raw, server_hostname=HOST)
        user = f"{HOST}/{name}/?api-version=2021-04-12"
        secret = token(f"{HOST}/devices/{name}", key(name))
        self.send(0x10, field("MQTT") + b"\x04\xc0\x00\xf0" + field(name) + field(user) + field(secret))
        for filter in ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]:
            self.send(0x82, b"\0\1" + field(filter) + b"\1")
        self.publish("$iothub/twin/GET/?$rid=get", "")
        self.is_ready = False

    def send(self, first, body):
        self.socket.sendall(packet(first, body))

    def publish(self, topic, payload):
        self.send(0x30, field(topic) + payload.encode())

    def read(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except ssl.SSLWantReadError:
                return
            if not data:
                # The hub ended, as at the end of a test; one that cuts a gateway off before is seen by what is missing.
                log.write(f"cut {self.name}\n")
                sys.exit(1)
            self.buffer += data
            self.take()
            if not self.socket.pending():
                return

    def take(self):
        while len(self.buffer) > 1:
            length, shift, at = 0, 0, 1
            while True:
                if at >= len(self.buffer):
                    return
                byte = self.buffer[at]
                length |= (byte & 127) << shift
                shift, at = shift + 7, at + 1
                if byte < 128:
                    break
            if len(self.buffer) < at + length:
                return
            first, body = self.buffer[0], self.buffer[at : at + length]
            self.buffer = self.buffer[at + length :]
            if first & 0xF0 == 0x20:
                assert body[1] == 0, self.name + " was refused"
            if first & 0xF0 == 0x30:
                size = int.from_bytes(body[:2], "big")
                rest = body[2 + size :]
                if first & 6:
                    self.send(0x40, rest[:2])
                    rest = rest[2:]
                self.message(body[2 : 2 + size].decode(), rest)

    def message(self, topic, payload):
        if topic.startswith("$iothub/twin/res/200/"):
            self.desired = json.loads(payload)["desired"]
            self.is_ready = True
        elif "/desired/" in topic:
            self.desired = merged(self.desired, json.loads(payload))
        else:
            assert "/res/204/" in topic, topic
            return
        self.follow(self.desired.get("ota"))

    def report(self, phase, **more):
        section = {"attempt": self.attempt, "phase": phase, "pause": None, "result": None, **more}
        self.publish("$iothub/twin/PATCH/properties/reported/?$rid=r", json.dumps({"ota": section}))

    def follow(self, ota):
        if not ota or ota["attempt"] in self.done:
            return
        wanted, action = ota["attempt"], ota["action"]
        if action == "install" and self.attempt != wanted:
            self.attempt, self.ends_at, self.left = wanted, time.monotonic() + options["seconds"], None
            log.write(f"begin {self.name}\n")
            self.report("fetching")
        elif action == "pause" and self.attempt == wanted and self.left is None:
            self.left, self.ends_at = self.ends_at - time.monotonic(), None
            self.report("fetching", pause={"code": "engine.paused"})
        elif action == "resume" and self.attempt == wanted and self.left is not None:
            self.ends_at, self.left = time.monotonic() + 0.1, None
            self.report("fetching")
        elif action == "cancel" and self.attempt == wanted:
            self.end("canceled")

    def end(self, phase, **more):
        self.done[self.attempt] = phase
        self.ends_at = self.left = None
        log.write(f"{phase} {self.name}\n")
        self.report(phase, result={"attempt": self.attempt, "phase": phase, **more})

    def tick(self):
        if self.ends_at is not None and time.monotonic() >= self.ends_at:
            if self.name in options["failing"]:
                self.end("rolledBack", code="health.failed")
            else:
                self.end("confirmed")


def merged(old, patch):
    if not isinstance(patch, dict):
        return patch
    out = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merged(out.get(name), value)
    return out


admin()
poll = selectors.DefaultSelector()
gateways = []
for name in names:
    if name not in options["silent"]:
        gateway = Gateway(name)
        gateway.socket.setblocking(False)
        poll.register(gateway.socket, selectors.EVENT_READ, gateway)
        gateways.append(gateway)
poll.register(sys.stdin, selectors.EVENT_READ, None)
is_told = False
while True:
    for event, _ in poll.select(0.05):
        if event.data is None:
            sys.exit(0)
        event.data.read()
    for gateway in gateways:
        gateway.tick()
    if not is_told and all(gateway.is_ready for gateway in gateways):
        is_told = True
        print("ready", flush=True)
