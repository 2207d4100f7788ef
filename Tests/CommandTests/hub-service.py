#!/usr/bin/env python3
"""One call of an emulator's service API: hub-service.py OWNER CA METHOD PATH, the body on standard input.

Prints the status on the first line and the answer behind it. Only Python's own library.
"""
import base64
import hashlib
import hmac
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

owner, authority, method, path = sys.argv[1:]
parts = dict(part.split("=", 1) for part in owner.split(";"))
resource = urllib.parse.quote(parts["HostName"], safe="")
expiry = str(int(time.time()) + 600)
key = base64.b64decode(parts["SharedAccessKey"])
code = base64.b64encode(hmac.new(key, f"{resource}\n{expiry}".encode(), hashlib.sha256).digest())
token = f"SharedAccessSignature sr={resource}&sig={urllib.parse.quote(code, safe='')}&se={expiry}&skn=iothubowner"
request = urllib.request.Request(
    f"https://{parts['HostName']}{path}?api-version=2021-04-12", data=sys.stdin.buffer.read() or None, method=method,
    headers={"Authorization": token, "Content-Type": "application/json", "If-Match": "*"})
try:
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=authority)) as answer:
        print(answer.status)
        sys.stdout.write(answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
    sys.stdout.write(error.read().decode())
