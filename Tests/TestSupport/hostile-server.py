"""An HTTP server that does what broken servers and proxies do, for tests.

usage: hostile-server.py [--object FILE] [--certificate PEM]

It listens on one port of 127.0.0.1 and 127.0.0.2, on the same port of ::1 where there is IPv6, and with a certificate
(key and certificate in one file) on a port with TLS. It prints the port, the path of its request log and the TLS port,
and ends when its standard input ends, so that it never outlives the tests; then the log is gone too. It serves one
object under every path: the file, or a pattern of 300,000 bytes.

The path is /SCENARIO/KEY: the scenario says what goes wrong, the key keeps tests apart. Each request is written to the
log before it is answered: KEY, local address, and the request headers Authorization, If-Range, Range, Accept-Encoding
and Proxy-Authorization, separated by tabs ("-" where there is none). A request with a whole URL in its first line is
answered as by a proxy, and CONNECT makes a tunnel for whoever shows the password of the proxy (gateway:tunnel).
"""

import argparse
import base64
import gzip
import socket
import socketserver
import ssl
import struct
import sys
import tempfile
import threading
import time

LENGTH = 300_000
LOCK = threading.Lock()
COUNTS = {}
LOG = tempfile.NamedTemporaryFile("w", prefix="kedge-hostile-", suffix=".log", encoding="utf-8")


def content(length=LENGTH, variant=0):
    return bytes((i * 31 + (i >> 8) * 17 + (i >> 16) * 7 + variant) & 0xFF for i in range(length))


OBJECT = content()
OTHER = content(variant=1)
TUNNEL = "Basic " + base64.b64encode(b"gateway:tunnel").decode()


class Request:
    def __init__(self, scenario, key, headers, number, address, port):
        self.scenario = scenario
        self.key = key
        self.headers = headers
        self.number = number  # requests for this path so far, this one included
        self.address = address
        self.port = port
        first, _, last = headers.get("range", "bytes=0-").partition("=")[2].partition("-")
        self.first = int(first or 0)
        self.last = min(int(last), LENGTH - 1) if last else LENGTH - 1
        self.count = self.last - self.first + 1
        self.body = OBJECT[self.first : self.last + 1]


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(60)
        try:
            while self.one():
                pass
        except OSError:
            pass

    def one(self):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.request.recv(65536)
            if not piece:
                return False
            head += piece
        lines = head.decode("latin-1").split("\r\n")
        method, path = lines[0].split(" ")[:2]
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.lower()] = value.strip()
        if method == "CONNECT":
            return self.tunnel(path, headers)
        if path.startswith("http://"):
            path = "/" + path.split("/", 3)[3]
        _, scenario, key = path.partition("?")[0].split("/", 2)
        address, port = self.request.getsockname()[:2]
        with LOCK:
            COUNTS[path] = COUNTS.get(path, 0) + 1
            number = COUNTS[path]
            names = ("authorization", "if-range", "range", "accept-encoding", "proxy-authorization")
            LOG.write("\t".join([key, address] + [headers.get(n, "-") for n in names]) + "\n")
            LOG.flush()
        request = Request(scenario, key, headers, number, address, port)
        return getattr(self, "do_" + scenario.replace("-", "_"))(request)

    # --- building answers ---

    def send(self, status, headers, body=b""):
        lines = [f"HTTP/1.1 {status} Status"] + [f"{n}: {v}" for n, v in headers] + ["", ""]
        self.request.sendall("\r\n".join(lines).encode("latin-1") + body)

    def simple(self, status, headers=(), body=b"no"):
        self.send(status, list(headers) + [("Content-Length", len(body))], body)
        return True

    def part(self, r, body=None, tag='"one"', total=None, first=None, last=None, length=None, more=()):
        """A 206; right unless told otherwise."""
        total = LENGTH if total is None else total
        first = r.first if first is None else first
        last = r.last if last is None else last
        headers = [("Content-Range", f"bytes {first}-{last}/{total}")]
        headers.append(("Content-Length", r.count if length is None else length))
        if tag:
            headers.append(("ETag", tag))
        self.send(206, headers + list(more), r.body if body is None else body)
        return True

    def tunnel(self, place, headers):
        """CONNECT: a tunnel for whoever has the password."""
        if headers.get("proxy-authorization") != TUNNEL:
            self.send(407, [("Proxy-Authenticate", "Basic realm=x"), ("Content-Length", 0)])
            return True
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            self.send(200, [])

            def back():
                try:
                    while piece := far.recv(65536):
                        self.request.sendall(piece)
                    self.request.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

            threading.Thread(target=back, daemon=True).start()
            while piece := self.request.recv(65536):
                far.sendall(piece)
        return False

    def reset(self):
        """Closes with RST instead of FIN."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()
        return False

    def wait(self):
        """Says nothing until the client hangs up."""
        self.request.settimeout(None)
        self.request.recv(1)
        return False

    # --- good servers ---

    def do_plain(self, r):
        if r.first >= LENGTH:
            return self.simple(416, [("Content-Range", f"bytes */{LENGTH}")])
        return self.part(r)

    def do_pause(self, r):
        """Good, but the client has taken the first part before the second comes."""
        self.part(r, body=r.body[:100_000])
        time.sleep(0.3)
        self.request.sendall(r.body[100_000:])
        return True

    def do_close_delimited(self, r):
        self.send(206, [("Content-Range", f"bytes {r.first}-{r.last}/{LENGTH}"), ("Connection", "close")], r.body)
        return False

    def do_chunked(self, r):
        head = [("Content-Range", f"bytes {r.first}-{r.last}/{LENGTH}"), ("Transfer-Encoding", "chunked")]
        self.send(206, head)
        for i in range(0, r.count, 7777):
            piece = r.body[i : i + 7777]
            self.request.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.request.sendall(b"0\r\nContent-Range: bytes 5-6/7\r\n\r\n")
        return True

    def do_interim(self, r):
        self.request.sendall(b"HTTP/1.1 103 Early Hints\r\nETag: \"none\"\r\n\r\n")
        return self.part(r)

    def do_whole(self, r):
        self.send(200, [("Content-Length", LENGTH), ("ETag", '"one"')], OBJECT)
        return True

    # --- bytes that are wrong or come too slowly ---

    def do_flipped(self, r):
        """One bit of one byte is another one, in the first answer that has it."""
        spot = LENGTH // 2
        if not r.first <= spot <= r.last:
            return self.part(r)
        with LOCK:
            COUNTS[r.key] = COUNTS.get(r.key, 0) + 1
            first = COUNTS[r.key] == 1
        return self.part(r, body=self.flip(r) if first else None)

    def do_flipped_always(self, r):
        return self.part(r, body=self.flip(r))

    def do_refuses_ahead(self, r):
        """/refuses-ahead/FIRST/KEY: the first request for bytes from FIRST on is told to come later, and a request for
        the bytes before it is answered only when that one came. The first of all is answered at once."""
        ahead = int(r.key.split("/")[0])
        if r.first == ahead:
            with LOCK:
                COUNTS[r.key] = COUNTS.get(r.key, 0) + 1
                first = COUNTS[r.key] == 1
            return self.simple(503) if first else self.part(r)
        for _ in range(1000):
            if r.number == 1 or COUNTS.get(r.key, 0) > 0:
                return self.part(r)
            time.sleep(0.01)
        return self.simple(500)

    def do_waits_for_next(self, r):
        """The second request is answered when the third one is there."""
        path = f"/{r.scenario}/{r.key}"
        for _ in range(1000):
            if r.number != 2 or COUNTS[path] >= 3:
                return self.part(r)
            time.sleep(0.01)
        return self.simple(500)

    def do_flipped_often(self, r):
        """The same bit, in the first three answers that have it."""
        with LOCK:
            COUNTS[r.key] = COUNTS.get(r.key, 0) + (r.first <= LENGTH // 2 <= r.last)
            damaged = COUNTS[r.key] <= 3
        return self.part(r, body=self.flip(r) if damaged else None)

    def do_broken_cache(self, r):
        """A cache on the way has a damaged copy, and gives way to whoever asks past it."""
        fresh = r.headers.get("cache-control") == "no-cache" and r.headers.get("pragma") == "no-cache"
        return self.part(r, body=None if fresh else self.flip(r))

    def do_old_cache(self, r):
        """A cache on the way has another object of the same name, head and all."""
        fresh = r.headers.get("cache-control") == "no-cache"
        return self.part(r, body=None if fresh else OTHER[r.first : r.last + 1], tag='"one"' if fresh else '"old"')

    def flip(self, r):
        body = bytearray(r.body)
        spot = LENGTH // 2 - r.first
        if 0 <= spot < len(body):
            body[spot] ^= 1
        return bytes(body)

    def do_swapped_silently(self, r):
        """Same size, other bytes behind the middle, no entity tag: nothing but digests can tell."""
        # Its head and its end are the right ones, or it would be noticed before anything is written.
        swaps = r.first > 0 and r.count > 1000
        return self.part(r, body=OTHER[r.first : r.last + 1] if swaps else None, tag=None)

    def do_foreign(self, r):
        """Another object of the same size from the start."""
        return self.part(r, body=bytes(r.count))

    def do_drip(self, r):
        """One byte a second."""
        self.part(r, body=b"")
        for byte in r.body:
            self.request.sendall(bytes([byte]))
            time.sleep(1)
        return True

    def do_slow_head(self, r):
        """One byte of the head a second."""
        for byte in b"HTTP/1.1 206 Partial Content\r\n" + b"X-Padding: " + b"x" * 10_000:
            self.request.sendall(bytes([byte]))
            time.sleep(1)
        return False

    def do_crumbs(self, r):
        """One byte with each connection, and so for ever."""
        self.part(r, body=r.body[:1])
        return False

    def do_endless(self, r):
        """A body without length and without end."""
        self.send(206, [("Content-Range", f"bytes {r.first}-{r.last}/{LENGTH}"), ("Connection", "close")], r.body)
        while True:
            self.request.sendall(bytes(65536))

    def do_truncated(self, r):
        """/truncated/BYTES/KEY: the object ends after so many bytes, and the server says that this is all of it."""
        total = int(r.key.split("/")[0])
        if r.first >= total:
            return self.simple(416, [("Content-Range", f"bytes */{total}")])
        last = min(r.last, total - 1)
        return self.part(r, body=OBJECT[r.first : last + 1], last=last, total=total, length=last - r.first + 1)

    def do_broken_off(self, r):
        """/broken-off/BYTES/KEY: the first connection ends when byte BYTES of the object is reached, the object is whole."""
        end = int(r.key.split("/")[0])
        if r.number > 1 or not r.first <= end <= r.last:
            return self.part(r)
        self.part(r, body=OBJECT[r.first : end])
        return False

    def do_expired(self, r):
        """/expired/BYTES/KEY: a signed address that runs out after so many bytes that it gave."""
        with LOCK:
            left = int(r.key.split("/")[0]) - COUNTS.get(r.key, 0)
            COUNTS[r.key] = COUNTS.get(r.key, 0) + r.count
        if left <= 0:
            return self.simple(403)
        self.part(r, body=r.body[:left])
        return r.count <= left

    def do_portal(self, r):
        """A captive portal: every request is led to its login page."""
        return self.simple(302, [("Location", f"/page/{r.key}")])

    # --- broken connections, good again at the second request ---

    def do_cut(self, r):
        """/cut/BYTES/KEY: the first body ends after BYTES bytes."""
        if r.number > 1:
            return self.part(r)
        self.part(r, body=r.body[: int(r.key.split("/")[0])])
        return False

    def do_cut_always(self, r):
        self.part(r, body=r.body[:40_000])
        return False

    def do_cut_close_delimited(self, r):
        body = r.body[:1000] if r.number == 1 else r.body
        self.send(206, [("Content-Range", f"bytes {r.first}-{r.last}/{LENGTH}"), ("Connection", "close")], body)
        return False

    def do_reset(self, r):
        if r.number > 1:
            return self.part(r)
        self.part(r, body=r.body[:50_000])
        return self.reset()

    def do_reset_first(self, r):
        return self.part(r) if r.number > 1 else self.reset()

    def do_reset_always(self, r):
        return self.reset()

    def do_silence(self, r):
        if r.number > 1:
            return self.part(r)
        self.part(r, body=r.body[:1000])
        return self.wait()

    def do_mute(self, r):
        return self.wait()

    def do_storm(self, r):
        return self.part(r) if r.number > 3 else self.simple(500)

    def do_slow_down(self, r):
        return self.part(r) if r.number > 1 else self.simple(429, [("Retry-After", "7")])

    def do_come_back_much_later(self, r):
        return self.part(r) if r.number > 1 else self.simple(503, [("Retry-After", "99999999999")])

    def do_busy(self, r):
        return self.simple(503)

    # --- the object changes ---

    def do_changed_tag(self, r):
        if r.number > 1:
            return self.part(r, body=OTHER[r.first : r.last + 1], tag='"two"')
        self.part(r, body=r.body[:100_000])
        return False

    def do_swapped(self, r):
        """Same size, other bytes, and a server that honours If-Range."""
        if r.number == 1:
            self.part(r, body=r.body[:100_000])
            return False
        if r.headers.get("if-range", '"two"') == '"two"':
            return self.part(r, body=OTHER[r.first : r.last + 1], tag='"two"')
        self.send(200, [("Content-Length", LENGTH), ("ETag", '"two"')], OTHER)
        return True

    def do_changed_total(self, r):
        if r.number > 1:
            return self.part(r, total=LENGTH + 1)
        self.part(r, body=r.body[:100_000])
        return False

    def do_weak(self, r):
        if r.number > 1:
            return self.part(r, tag='W/"one"')
        self.part(r, body=r.body[:100_000], tag='W/"one"')
        return False

    # --- wrong answers ---

    def do_range_ignored(self, r):
        return self.do_whole(r)

    def do_range_ignored_without_length(self, r):
        self.send(200, [("Connection", "close")], OBJECT)
        return False

    def do_starts_late(self, r):
        return self.part(r, first=r.first + 1, last=r.last + 1)

    def do_ends_early(self, r):
        return self.part(r, last=r.last - 1, body=r.body[:-1], length=r.count - 1)

    def do_no_content_range(self, r):
        self.send(206, [("Content-Length", r.count)], r.body)
        return True

    def do_unknown_total(self, r):
        return self.part(r, total="*")

    def do_two_content_ranges(self, r):
        return self.part(r, more=[("Content-Range", f"bytes 0-1/{LENGTH}")])

    def do_multipart(self, r):
        return self.part(r, more=[("Content-Type", "multipart/byteranges; boundary=x")])

    def do_wrong_length(self, r):
        return self.part(r, length=r.count + 5, body=r.body + b"extra")

    def do_too_much(self, r):
        head = [("Content-Range", f"bytes {r.first}-{r.last}/{LENGTH}"), ("Connection", "close")]
        self.send(206, head, r.body + b"extra")
        return False

    def do_gzip(self, r):
        body = gzip.compress(r.body)
        return self.part(r, body=body, length=len(body), more=[("Content-Encoding", "gzip")])

    def do_gzip_same_length(self, r):
        return self.part(r, more=[("Content-Encoding", "gzip")])

    def do_page(self, r):
        return self.simple(200, [("Content-Type", "text/html; charset=utf-8")], b"<html>Log in</html>")

    def do_status(self, r):
        """/status/NUMBER/KEY"""
        return self.simple(int(r.key.split("/")[0]))

    def do_endless_head(self, r):
        self.request.sendall(b"HTTP/1.1 206 Partial Content\r\n")
        while True:
            self.request.sendall(b"X-Padding: " + b"x" * 8000 + b"\r\n")

    def do_no_http(self, r):
        self.request.sendall(b"220 mail.example ESMTP ready\r\n" + bytes(4096))
        return False

    # --- redirects ---

    def do_loop(self, r):
        return self.simple(302, [("Location", f"/loop/{r.key}")])

    def do_to(self, r):
        """/to/HOST/KEY: the plain object on another address of this machine."""
        host, key = r.key.split("/")
        return self.simple(302, [("Location", f"http://{host}:{r.port}/plain/{key}")])

    def do_secure(self, r):
        """/secure/PORT/KEY: a TLS server that redirects back to http."""
        port = r.key.split("/")[0]
        return self.simple(302, [("Location", f"https://127.0.0.1:{port}/downgrade/x")])

    def do_down(self, r):
        """/down/PORT/KEY: from TLS back to http."""
        port, key = r.key.split("/")
        return self.simple(302, [("Location", f"http://127.0.0.1:{port}/plain/{key}")])

    def do_to_file(self, r):
        return self.simple(302, [("Location", "file:///etc/hostname")])


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class Server6(Server):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


class SecureServer(Server):
    context = None

    def get_request(self):
        plain, address = super().get_request()
        return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        pass


def listen(kind, host, port):
    server = kind((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    global LENGTH, OBJECT, OTHER
    parser = argparse.ArgumentParser()
    parser.add_argument("--object")
    parser.add_argument("--certificate")
    options = parser.parse_args()
    if options.object:
        with open(options.object, "rb") as file:
            OBJECT = file.read()
        LENGTH = len(OBJECT)
        OTHER = OBJECT[: LENGTH // 2] + bytes(b ^ 0x55 for b in OBJECT[LENGTH // 2 :])
    port = listen(Server, "127.0.0.1", 0)
    listen(Server, "127.0.0.2", port)
    try:
        listen(Server6, "::1", port)
    except OSError:
        pass
    secure = 0
    if options.certificate:
        SecureServer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        SecureServer.context.load_cert_chain(options.certificate)
        secure = listen(SecureServer, "127.0.0.1", 0)
    print(port, LOG.name, secure, flush=True)
    sys.stdin.read()
    LOG.close()  # and removed


main()
