"""Python's websockets for the measurements of compression: the same work as the hub in
src/deflate/serve.rs. Prints its port, and exits when standard input ends. Arguments: the mode, the
folder of samples."""

import asyncio
import json
import logging
import os
import sys
import threading
import time

from websockets.asyncio.server import broadcast, serve

mode, folder = sys.argv[1:]
# The load resets its connections at the end.
logging.getLogger("websockets").setLevel(logging.CRITICAL)
everyone = set()


def lines(file, types):
    with open(f"{folder}/{file}", encoding="utf-8") as text:
        return [line for line in text.read().splitlines() if any(f'"type":"{name}"' in line for name in types)]


samples = {
    "orders": lines("hub.jsonl", ["check_health", "set_rate"]),
    "changes": lines("page.jsonl", ["changes"]),
}


async def on_telemetry(socket, data):
    pass


async def on_mark(socket, data):
    await socket.send(json.dumps({"ver": 1, "type": "mark", "ts": int(time.time()), "data": {}}))


async def on_replay(socket, data):
    chosen = samples[data["samples"]]
    for number in range(data["count"]):
        line = chosen[number % len(chosen)]
        if data["everyone"]:
            broadcast(everyone, line)
        else:
            await socket.send(line)


handlers = {"telemetry": on_telemetry, "mark": on_mark, "replay": on_replay}


async def connection(socket):
    everyone.add(socket)
    try:
        async for text in socket:
            envelope = json.loads(text)
            await handlers[envelope["type"]](socket, envelope["data"])
    finally:
        everyone.discard(socket)


def exit_at_end_of_input():
    sys.stdin.read()
    os._exit(0)


async def main():
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    compression = None if mode == "off" else "deflate"
    # No heartbeat, as with the other peers.
    async with serve(connection, "127.0.0.1", 0, compression=compression, ping_interval=None, backlog=4096) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
