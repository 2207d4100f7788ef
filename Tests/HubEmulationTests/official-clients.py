"""Drives Microsoft's own clients against the emulator and says for each case whether they found a hub.

Usage: official-clients.py DIRECTORY ADDRESS CONNECTION_STRING
DIRECTORY has the emulator's ca.pem and ca.key. Prints "ok NAME" or "failed NAME: why" for each case, and exits 1 if one
failed.
"""

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback

directory, address, owner = sys.argv[1:]
os.environ["REQUESTS_CA_BUNDLE"] = directory + "/ca.pem"
logging.disable(logging.CRITICAL)

import hashlib
import hmac
import requests
from azure.iot.device import (
    IoTHubDeviceClient,
    IoTHubModuleClient,
    Message,
    MethodResponse,
    ProvisioningDeviceClient,
    X509,
)
from azure.iot.device import exceptions as device_errors
from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    CloudToDeviceMethod,
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    QuerySpecification,
    Twin,
    TwinProperties,
)
from azure.iot.hub.sastoken import SasToken
from msrest.exceptions import HttpOperationError

HOST = "hub.example.test"
SCOPE = "0ne00000001"
authority = open(directory + "/ca.pem").read()
registry = IoTHubRegistryManager.from_connection_string(owner)
parts = dict(field.split("=", 1) for field in owner.split(";"))
service = parts["HostName"]


def key(letter):
    return base64.b64encode(letter.encode() * 32).decode()


def admin(method, path, body=None):
    """A call of the service API that the official client does not have."""
    token = str(SasToken(service, parts["SharedAccessKey"], "iothubowner"))
    answer = requests.request(
        method, f"https://{service}/{path}", json=body, headers={"Authorization": token}, timeout=10
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def device(name, secret="a", **options):
    return IoTHubDeviceClient.create_from_connection_string(
        f"HostName={HOST};DeviceId={name};SharedAccessKey={key(secret)};GatewayHostName={address}",
        server_verification_cert=authority,
        connection_retry_interval=1,
        **options,
    )


def module(name, part, secret="c", **options):
    return IoTHubModuleClient.create_from_connection_string(
        f"HostName={HOST};DeviceId={name};ModuleId={part};SharedAccessKey={key(secret)};GatewayHostName={address}",
        server_verification_cert=authority,
        connection_retry_interval=1,
        **options,
    )


def wait(condition, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def refused(status, call):
    try:
        call()
    except HttpOperationError as error:
        assert error.response.status_code == status, error.response.status_code
        return
    raise AssertionError(f"was not refused with {status}")


def certificate(name, signed):
    """A key and a certificate for a common name; `signed` by the emulator's authority or by itself."""
    base = f"{directory}/{name}-{'signed' if signed else 'own'}"
    run = lambda *words: subprocess.run(words, check=True, capture_output=True)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", base + ".key"]
    if signed:
        run("openssl", "req", *new, "-subj", f"/CN={name}", "-out", base + ".csr")
        run(
            "openssl", "x509", "-req", "-in", base + ".csr", "-CA", directory + "/ca.pem", "-CAkey",
            directory + "/ca.key", "-CAcreateserial", "-days", "2", "-out", base + ".pem",
        )
    else:
        run("openssl", "req", "-x509", *new, "-days", "2", "-subj", f"/CN={name}", "-out", base + ".pem")
    der = subprocess.run(
        ["openssl", "x509", "-in", base + ".pem", "-outform", "der"], check=True, capture_output=True
    ).stdout
    return base + ".pem", base + ".key", hashlib.sha1(der).hexdigest()


# The registry


def registry_of_devices():
    made = registry.create_device_with_sas("r1", key("a"), key("b"), "enabled")
    assert made.authentication.symmetric_key.primary_key == key("a")
    refused(409, lambda: registry.create_device_with_sas("r1", key("a"), key("b"), "enabled"))
    changed = registry.update_device_with_sas("r1", made.etag, key("x"), key("y"), "disabled")
    assert changed.status == "disabled" and changed.etag != made.etag
    refused(412, lambda: registry.update_device_with_sas("r1", made.etag, key("x"), key("y"), "enabled"))
    assert "r1" in [found.device_id for found in registry.get_devices()]
    registry.delete_device("r1")
    refused(404, lambda: registry.get_device("r1"))


def registry_of_modules():
    registry.create_device_with_sas("r2", key("a"), key("b"), "enabled")
    registry.create_module_with_sas("r2", "ota", "kedge", key("c"), key("d"))
    assert [found.module_id for found in registry.get_modules("r2")] == ["ota"]
    registry.delete_module("r2", "ota")
    assert registry.get_modules("r2") == []
    refused(404, lambda: registry.create_module_with_sas("nobody", "ota", "kedge", key("c"), key("d")))


def registry_makes_keys():
    made = registry.create_device_with_sas("r3", "", "", "enabled")
    assert len(base64.b64decode(made.authentication.symmetric_key.primary_key)) >= 16


def wrong_owner_key():
    other = IoTHubRegistryManager.from_connection_string(
        f"HostName={service};SharedAccessKeyName=iothubowner;SharedAccessKey={key('q')}"
    )
    refused(401, lambda: other.get_devices())


# Twins


def twin_of_a_module():
    registry.create_device_with_sas("t1", key("a"), key("b"), "enabled")
    registry.create_module_with_sas("t1", "ota", "kedge", key("c"), key("d"))
    client = module("t1", "ota", product_info="dtmi:azure:iot:deviceUpdateModel;3")
    client.connect()
    assert client.get_twin() == {"desired": {"$version": 1}, "reported": {"$version": 1}}
    client.patch_twin_reported_properties({"ota": {"phase": "idle", "ratio": 1.5, "gone": 1}})
    client.patch_twin_reported_properties({"ota": {"gone": None}})
    reported = registry.get_module_twin("t1", "ota").properties.reported
    assert reported["ota"] == {"phase": "idle", "ratio": 1.5}, reported
    assert reported["$version"] == 3
    client.shutdown()


def desired_patch_is_pushed():
    registry.create_device_with_sas("t2", key("a"), key("b"), "enabled")
    client = device("t2")
    client.connect()
    client.get_twin()
    got = []
    client.on_twin_desired_properties_patch_received = got.append
    twin = registry.get_twin("t2")
    registry.update_twin("t2", Twin(properties=TwinProperties(desired={"ota": {"attempt": "1"}, "b": 1})), twin.etag)
    assert wait(lambda: len(got) == 1), got
    assert got[0] == {"ota": {"attempt": "1"}, "b": 1, "$version": 2}, got
    refused(412, lambda: registry.update_twin("t2", Twin(properties=TwinProperties(desired={"b": 3})), twin.etag))
    registry.replace_twin("t2", Twin(properties=TwinProperties(desired={"ota": {"attempt": "2"}})), "*")
    assert wait(lambda: len(got) == 2), got
    assert got[1] == {"ota": {"attempt": "2"}, "b": None, "$version": 3}, got
    client.shutdown()


def desired_change_while_away():
    registry.create_device_with_sas("t3", key("a"), key("b"), "enabled")
    client = device("t3")
    client.connect()
    client.get_twin()
    got = []
    client.on_twin_desired_properties_patch_received = got.append
    time.sleep(0.3)
    client.disconnect()
    registry.update_twin("t3", Twin(properties=TwinProperties(desired={"a": 1})), "*")
    client.connect()
    assert wait(lambda: got and got[-1].get("a") == 1), got
    client.shutdown()


def desired_change_while_cut():
    registry.create_device_with_sas("t4", key("a"), key("b"), "enabled")
    client = device("t4")
    client.connect()
    client.get_twin()
    got = []
    client.on_twin_desired_properties_patch_received = got.append
    time.sleep(0.3)
    admin("POST", "emulator/disconnect/t4")
    registry.update_twin("t4", Twin(properties=TwinProperties(desired={"a": 2})), "*")
    assert wait(lambda: got and got[-1].get("a") == 2, 20), got
    client.shutdown()


def limits_of_reported_properties():
    registry.create_device_with_sas("t5", key("a"), key("b"), "enabled")
    client = device("t5")
    client.connect()
    for patch in (
        {"a.b": 1},
        {"a$": 1},
        json.loads('{"a":' * 11 + "1" + "}" * 11),
        {f"s{n}": "x" * 4000 for n in range(9)},
        {"long": "x" * 4097},
        {"number": 2**60},
    ):
        try:
            client.patch_twin_reported_properties(patch)
        except device_errors.ClientError:
            continue
        raise AssertionError(f"accepted {str(patch)[:60]}")
    client.patch_twin_reported_properties(json.loads('{"a":' * 10 + "1" + "}" * 10))
    client.shutdown()


def limits_of_tags_and_desired():
    registry.create_device_with_sas("t6", key("a"), key("b"), "enabled")
    refused(400, lambda: registry.update_twin("t6", Twin(tags={"a b": 1}), "*"))
    refused(400, lambda: registry.update_twin("t6", Twin(tags={f"t{n}": "x" * 4000 for n in range(3)}), "*"))
    refused(
        400,
        lambda: registry.update_twin(
            "t6", Twin(properties=TwinProperties(desired={f"t{n}": "x" * 4000 for n in range(9)})), "*"
        ),
    )


def throttled_twin_request():
    registry.create_device_with_sas("t7", key("a"), key("b"), "enabled")
    client = device("t7")
    client.connect()
    client.get_twin()
    admin("PUT", "emulator/faults/t7", {"refuse": 1, "status": 429})
    try:
        client.patch_twin_reported_properties({"a": 1})
        raise AssertionError("was not refused")
    except device_errors.ClientError:
        pass
    client.patch_twin_reported_properties({"a": 1})
    client.shutdown()


# Methods and messages


def direct_method():
    registry.create_device_with_sas("m1", key("a"), key("b"), "enabled")
    registry.create_module_with_sas("m1", "ota", "kedge", key("c"), key("d"))
    client = module("m1", "ota")
    client.connect()

    def answer(request):
        payload = {"data": {"id": 1}, "echo": request.payload}
        client.send_method_response(MethodResponse.create_from_method_request(request, 202, payload))

    client.on_method_request_received = answer
    time.sleep(0.3)
    call = CloudToDeviceMethod(
        method_name="thingspro-software-upgrade", payload={"x": [1, 2]}, response_timeout_in_seconds=10
    )
    result = registry.invoke_device_module_method("m1", "ota", call).as_dict()
    assert result == {"status": 202, "payload": {"data": {"id": 1}, "echo": {"x": [1, 2]}}}, result
    client.shutdown()


def method_of_a_device_that_is_away():
    registry.create_device_with_sas("m2", key("a"), key("b"), "enabled")
    refused(404, lambda: registry.invoke_device_method("m2", CloudToDeviceMethod(method_name="x", payload={})))


def method_waits_for_the_device():
    registry.create_device_with_sas("m3", key("a"), key("b"), "enabled")
    result = []
    call = CloudToDeviceMethod(
        method_name="late", payload={}, response_timeout_in_seconds=10, connect_timeout_in_seconds=10
    )
    caller = threading.Thread(target=lambda: result.append(registry.invoke_device_method("m3", call).as_dict()))
    caller.start()
    time.sleep(0.5)
    client = device("m3")
    client.on_method_request_received = lambda request: client.send_method_response(
        MethodResponse.create_from_method_request(request, 200, {"name": request.name})
    )
    client.connect()
    caller.join(15)
    assert result and result[0]["payload"] == {"name": "late"}, result
    client.shutdown()


def method_that_nobody_answers():
    registry.create_device_with_sas("m4", key("a"), key("b"), "enabled")
    client = device("m4")
    client.on_method_request_received = lambda request: None
    client.connect()
    time.sleep(0.3)
    call = CloudToDeviceMethod(method_name="slow", payload={}, response_timeout_in_seconds=5)
    refused(504, lambda: registry.invoke_device_method("m4", call))
    client.shutdown()


def telemetry():
    registry.create_device_with_sas("m5", key("a"), key("b"), "enabled")
    client = device("m5")
    client.connect()
    message = Message('{"a":1}', content_encoding="utf-8", content_type="application/json")
    message.custom_properties["kind"] = "test of all"
    client.send_message(message)
    client.shutdown()


# Who is let in


def wrong_key():
    registry.create_device_with_sas("c1", key("a"), key("b"), "enabled")
    client = device("c1", "z", connection_retry=False)
    try:
        client.connect()
        raise AssertionError("was let in")
    except device_errors.CredentialError:
        pass
    client.shutdown()


def second_key():
    registry.create_device_with_sas("c2", key("a"), key("b"), "enabled")
    client = device("c2", "b")
    client.connect()
    assert client.connected
    client.shutdown()


def disabled_device():
    registry.create_device_with_sas("c3", key("a"), key("b"), "disabled")
    client = device("c3", connection_retry=False)
    try:
        client.connect()
        raise AssertionError("was let in")
    except device_errors.CredentialError:
        pass
    client.shutdown()


def server_that_is_not_trusted():
    registry.create_device_with_sas("c4", key("a"), key("b"), "enabled")
    client = IoTHubDeviceClient.create_from_connection_string(
        f"HostName={HOST};DeviceId=c4;SharedAccessKey={key('a')};GatewayHostName={address}", connection_retry=False
    )
    try:
        client.connect()
        raise AssertionError("trusted an unknown authority")
    except device_errors.ClientError as error:
        assert "TLS" in str(error), error
    client.shutdown()


def by_thumbprint():
    pem, private, print_ = certificate("c5", signed=False)
    registry.create_device_with_x509("c5", print_, "", "enabled")
    client = IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(pem, private), hostname=HOST, device_id="c5", gateway_hostname=address,
        server_verification_cert=authority,
    )
    client.connect()
    assert client.get_twin()["desired"] == {"$version": 1}
    client.shutdown()


def by_authority():
    pem, private, _ = certificate("c6", signed=True)
    registry.create_device_with_certificate_authority("c6", "enabled")
    registry.create_device_with_certificate_authority("c7", "enabled")
    make = lambda name: IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(pem, private), hostname=HOST, device_id=name, gateway_hostname=address,
        server_verification_cert=authority, connection_retry=False,
    )
    client = make("c6")
    client.connect()
    assert client.connected
    client.shutdown()
    other = make("c7")
    try:
        other.connect()
        raise AssertionError("another device's certificate was let in")
    except device_errors.CredentialError:
        pass
    other.shutdown()


def token_renewal():
    registry.create_device_with_sas("c8", key("a"), key("b"), "enabled")
    # The client renews 120 seconds before the end: after 3 seconds here.
    client = device("c8", sastoken_ttl=123)
    client.connect()
    before = len(client.get_twin())
    time.sleep(5)
    assert client.connected and len(client.get_twin()) == before
    client.shutdown()


def takeover():
    registry.create_device_with_sas("c9", key("a"), key("b"), "enabled")
    first, second = device("c9", connection_retry=False), device("c9", connection_retry=False)
    first.connect()
    second.connect()
    assert wait(lambda: not first.connected)
    assert second.connected
    first.shutdown()
    second.shutdown()


# Provisioning


def provision(name, **options):
    client = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=address, registration_id=name, id_scope=SCOPE, server_verification_cert=authority, **options
    )
    return client.register()


def provisioning_by_key():
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key("e"), "secondaryKey": key("f")}}
    twin = {"tags": {"ring": "p"}, "properties": {"desired": {"a": 1}}}
    admin("PUT", "enrollments/p1", {"attestation": attestation, "deviceId": "plant-1", "initialTwin": twin})
    state = provision("p1", symmetric_key=key("e")).registration_state
    assert (state.device_id, state.assigned_hub) == ("plant-1", HOST), vars(state)
    client = device("plant-1", "e")
    client.connect()
    assert client.get_twin()["desired"] == {"a": 1, "$version": 1}
    client.shutdown()
    assert registry.get_twin("plant-1").tags == {"ring": "p"}


def provisioning_by_group_key():
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key("g"), "secondaryKey": key("h")}}
    admin("PUT", "enrollmentGroups/fleet", {"attestation": attestation})
    own = base64.b64encode(hmac.new(base64.b64decode(key("g")), b"p2", hashlib.sha256).digest()).decode()
    result = provision("p2", symmetric_key=own)
    assert result.status == "assigned" and result.registration_state.device_id == "p2"
    client = IoTHubDeviceClient.create_from_connection_string(
        f"HostName={HOST};DeviceId=p2;SharedAccessKey={own};GatewayHostName={address}",
        server_verification_cert=authority,
    )
    client.connect()
    client.shutdown()
    admin("DELETE", "enrollmentGroups/fleet")


def provisioning_by_certificate():
    pem, private, _ = certificate("p3", signed=False)
    attestation = {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": open(pem).read()}}}}
    admin("PUT", "enrollments/p3", {"attestation": attestation})
    client = ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host=address, registration_id="p3", id_scope=SCOPE, x509=X509(pem, private),
        server_verification_cert=authority,
    )
    assert client.register().status == "assigned"
    connected = IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(pem, private), hostname=HOST, device_id="p3", gateway_hostname=address,
        server_verification_cert=authority,
    )
    connected.connect()
    connected.shutdown()


def provisioning_without_enrollment():
    try:
        provision("stranger", symmetric_key=key("s"))
        raise AssertionError("was let in")
    except device_errors.CredentialError:
        pass


# Queries and configurations


def queries_and_pages():
    for number in range(5):
        name = f"q{number}"
        registry.create_device_with_sas(name, key("a"), key("b"), "enabled")
        registry.update_twin(name, Twin(tags={"plant": "x", "ring": number % 2}), "*")
    ask = lambda text, token=None, most=None: registry.query_iot_hub(QuerySpecification(query=text), token, most)
    first = ask("SELECT * FROM devices WHERE tags.plant = 'x'", None, 3)
    assert len(first.items) == 3 and first.continuation_token
    rest = ask("SELECT * FROM devices WHERE tags.plant = 'x'", first.continuation_token, 3)
    assert sorted(twin.device_id for twin in first.items + rest.items) == [f"q{n}" for n in range(5)]
    assert not rest.continuation_token
    some = ask("SELECT * FROM devices WHERE tags.ring >= 1 AND NOT deviceId IN ['q1'] AND tags.plant = 'x'")
    assert [twin.device_id for twin in some.items] == ["q3"]
    refused(400, lambda: ask("SELECT * FRM devices"))


def automatic_configuration():
    manager = IoTHubConfigurationManager.from_connection_string(owner)
    for name, ring in (("a1", "1"), ("a2", "2")):
        registry.create_device_with_sas(name, key("a"), key("b"), "enabled")
        registry.update_twin(name, Twin(tags={"rollout": ring}), "*")
    content = ConfigurationContent(device_content={"properties.desired.ota": {"attempt": "7", "url": "https://x"}})
    made = manager.create_configuration(
        Configuration(
            id="ring-1", content=content, target_condition="tags.rollout='1'", priority=10,
            metrics=ConfigurationMetrics(
                queries={"done": "SELECT deviceId FROM devices WHERE properties.reported.ota.phase='confirmed'"}
            ),
        )
    )
    assert made.system_metrics.results == {"targetedCount": 1, "appliedCount": 1}, made.system_metrics.results
    assert registry.get_twin("a1").properties.desired["ota"]["attempt"] == "7"
    assert "ota" not in registry.get_twin("a2").properties.desired
    client = device("a1")
    client.connect()
    client.patch_twin_reported_properties({"ota": {"phase": "confirmed"}})
    client.shutdown()
    assert manager.get_configuration("ring-1").metrics.results == {"done": 1}
    made.target_condition = "tags.rollout IN ['1', '2']"
    manager.update_configuration(made, made.etag)
    assert registry.get_twin("a2").properties.desired["ota"]["attempt"] == "7"
    assert "ring-1" in [found.id for found in manager.get_configurations()]
    manager.delete_configuration("ring-1")
    refused(404, lambda: manager.get_configuration("ring-1"))


def statistics():
    before = registry.get_device_registry_statistics().total_device_count
    registry.create_device_with_sas("s1", key("a"), key("b"), "enabled")
    assert registry.get_device_registry_statistics().total_device_count == before + 1
    client = device("s1")
    client.connect()
    assert registry.get_service_statistics().connected_device_count >= 1
    client.shutdown()


CASES = [
    registry_of_devices, registry_of_modules, registry_makes_keys, wrong_owner_key, twin_of_a_module,
    desired_patch_is_pushed, desired_change_while_away, desired_change_while_cut, limits_of_reported_properties,
    limits_of_tags_and_desired, throttled_twin_request, direct_method, method_of_a_device_that_is_away,
    method_waits_for_the_device, method_that_nobody_answers, telemetry, wrong_key, second_key, disabled_device,
    server_that_is_not_trusted, by_thumbprint, by_authority, token_renewal, takeover, provisioning_by_key,
    provisioning_by_group_key, provisioning_by_certificate, provisioning_without_enrollment, queries_and_pages,
    automatic_configuration, statistics,
]

failures = []
lock = threading.Lock()


def attempt(case):
    try:
        case()
        line = f"ok {case.__name__}"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in place if frame.filename == __file__]
        line = f"failed {case.__name__}: {type(error).__name__} {error} (line {lines[-1] if lines else 0})"
        failures.append(case)
    with lock:
        print(line, flush=True)


for case in CASES:
    attempt(case)
# The clients leave threads that would keep the process for minutes.
sys.stdout.flush()
os._exit(1 if failures else 0)
