#!/usr/bin/env python3
"""A hub of another make: mosquitto with TLS, and a responder that answers twin requests by paho-mqtt.

independent-hub.py MOSQUITTO DIRECTORY ADDRESS, with ca.pem, server.pem and server.key in DIRECTORY. Prints "ready", then
obeys lines on standard input: `desire JSON` (a merge patch of the desired state, pushed), `call NAME JSON` (a direct
method), `restart` (the broker, without its sessions), `reported` (prints the reported state). Every answer is one line.
"""
import json
import re
import subprocess
import sys
import threading
import time

import paho.mqtt.client as mqtt

broker, directory, address = sys.argv[1:]
desired, reported = {"$version": 1}, {"$version": 1}
answers, answered = {}, threading.Event()
with open(f"{directory}/mosquitto.conf", "w") as file:
    file.write(
        f"allow_anonymous true\npersistence false\nlistener 8883 {address}\ncafile {directory}/ca.pem\n"
        f"certfile {directory}/server.pem\nkeyfile {directory}/server.key\nlistener 18883 {address}\n")


def start():
    process = subprocess.Popen([broker, "-c", f"{directory}/mosquitto.conf"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    return process


def merge(document, patch):
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            document.pop(name, None)
        elif isinstance(value, dict):
            inner = document.get(name)
            document[name] = inner if isinstance(inner, dict) else {}
            merge(document[name], value)
        else:
            document[name] = value


def on_connect(client, *_):
    for filter in ("$iothub/twin/GET/#", "$iothub/twin/PATCH/properties/reported/#", "$iothub/methods/res/#"):
        client.subscribe(filter, 1)


def on_message(client, _, message):
    request = re.search(r"\$rid=([^&]+)", message.topic).group(1)
    if message.topic.startswith("$iothub/twin/GET/"):
        twin = json.dumps({"desired": desired, "reported": reported})
        client.publish(f"$iothub/twin/res/200/?$rid={request}", twin)
    elif message.topic.startswith("$iothub/twin/PATCH/"):
        merge(reported, json.loads(message.payload))
        reported["$version"] += 1
        client.publish(f"$iothub/twin/res/204/?$rid={request}&$version={reported['$version']}", "")
    else:
        answers[request] = [message.topic.split("/")[3], json.loads(message.payload)]
        answered.set()


process = start()
responder = mqtt.Client(client_id="responder", protocol=mqtt.MQTTv311)
responder.on_connect, responder.on_message = on_connect, on_message
responder.reconnect_delay_set(1, 1)
responder.connect(address, 18883)
responder.loop_start()
print("ready", flush=True)
calls = 0
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "desire":
        patch = json.loads(rest)
        merge(desired, patch)
        desired["$version"] += 1
        version = desired["$version"]
        responder.publish(
            f"$iothub/twin/PATCH/properties/desired/?$version={version}", json.dumps({**patch, "$version": version}), 1)
        print(version, flush=True)
    elif word == "call":
        name, _, payload = rest.partition(" ")
        calls += 1
        answered.clear()
        responder.publish(f"$iothub/methods/POST/{name}/?$rid={calls}", payload)
        answered.wait(10)
        print(json.dumps(answers.get(str(calls))), flush=True)
    elif word == "restart":
        process.terminate()
        process.wait()
        process = start()
        print("restarted", flush=True)
    else:
        print(json.dumps(reported), flush=True)
responder.loop_stop()
process.terminate()
process.wait()
