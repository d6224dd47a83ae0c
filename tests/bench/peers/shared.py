"""Python's socketify, which has the shared compressor of uWebSockets, for the measurements of
compression: the same work as the hub in src/deflate/serve.rs. Prints its port, and exits when
standard input ends. Arguments: the mode, the folder of samples."""

import json
import os
import socket as sockets
import sys
import threading
import time

from socketify import App, CompressOptions, OpCode

mode, folder = sys.argv[1:]


def lines(file, types):
    with open(f"{folder}/{file}", encoding="utf-8") as text:
        return [line for line in text.read().splitlines() if any(f'"type":"{name}"' in line for name in types)]


samples = {
    "orders": lines("hub.jsonl", ["check_health", "set_rate"]),
    "changes": lines("page.jsonl", ["changes"]),
}


def on_telemetry(ws, data):
    pass


def on_mark(ws, data):
    ws.send(json.dumps({"ver": 1, "type": "mark", "ts": int(time.time()), "data": {}}), OpCode.TEXT)


def on_replay(ws, data):
    chosen = samples[data["samples"]]
    for number in range(data["count"]):
        line = chosen[number % len(chosen)]
        if data["everyone"]:
            app.publish("everyone", line, OpCode.TEXT, True)
        else:
            ws.send(line, OpCode.TEXT, True)


handlers = {"telemetry": on_telemetry, "mark": on_mark, "replay": on_replay}


def on_message(ws, text, opcode):
    envelope = json.loads(text)
    handlers[envelope["type"]](ws, envelope["data"])


def exit_at_end_of_input():
    sys.stdin.read()
    os._exit(0)


# socketify does not report the port that the system has chosen.
with sockets.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
threading.Thread(target=exit_at_end_of_input, daemon=True).start()
app = App()
app.ws(
    "/ws",
    {
        "compression": CompressOptions.DISABLED if mode == "off" else CompressOptions.SHARED_COMPRESSOR,
        "idle_timeout": 0,
        "max_backpressure": 64 << 20,
        "open": lambda ws: ws.subscribe("everyone"),
        "message": on_message,
    },
)
app.listen({"host": "127.0.0.1", "port": port}, lambda config: print(port, flush=True))
app.run()
