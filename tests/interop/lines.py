"""The shared parts of the two Python programs: operations come in and events go out, each a JSON object on a line."""

import asyncio
import collections
import json
import sys

from asking import Refusal
from websockets.exceptions import ConnectionClosed

# Longer than the longest message of the tests, as a line and as a WebSocket message.
LONGEST = 16 << 20


def emit(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def emit_open(connection):
    emit("open", extensions=",".join(extension.name for extension in connection.protocol.extensions))


def compression(operation, factory):
    """Returns the arguments for the compression that an operation asks for: that of the library, not any, or with
    these parameters."""
    match operation.get("deflate", True):
        case True:
            return {}
        case False:
            return {"compression": None}
        case parameters:
            return {"compression": None, "extensions": [factory(**parameters)]}


async def operations():
    """Yields operations until standard input ends, which happens when the test exits."""
    reader = asyncio.StreamReader(limit=LONGEST)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


# The requests of the type `hold` that may be answered.
released = collections.defaultdict(asyncio.Event)


async def add(_, data):
    return "sum", {"sum": data["a"] + data["b"]}


async def ask_back(asking, data):
    depth = data["depth"]
    if depth > 0:
        reply = await asking.request("ask_back", {"depth": depth - 1})
        if "err" in reply:
            raise Refusal("failed", str(reply["err"]), None)
    return "asked", {"depth": depth}


async def reboot(_, data):
    raise Refusal("in_use", "a film is playing", {"until_s": data["delay_s"] + 90})


async def hold(_, data):
    await released[data["n"]].wait()
    return "held", data


HANDLERS = {"add": add, "ask_back": ask_back, "reboot": reboot, "hold": hold}


async def forward(asking):
    """Writes an event for each message that is not taken as a request or reply, and for the close."""
    connection = asking.connection
    try:
        async for message in connection:
            if not isinstance(message, str):
                emit("binary", bytes=list(message))
            elif not asking.take(message):
                emit("message", text=message)
    except ConnectionClosed:
        # Raised for every code except 1000 and 1001; the event below has the code.
        pass
    emit("close", code=connection.close_code, reason=connection.close_reason)


async def request(asking, operation):
    keys = {key: operation[key] for key in ("id", "ttl") if key in operation}
    emit("reply", envelope=await asking.request(operation["type"], operation["data"], **keys))


async def act(asking, operation):
    """Performs an operation on a connection, at either end of it."""
    connection = asking.connection
    match operation:
        case {"op": "request"}:
            asking.keep(asyncio.create_task(request(asking, operation)))
        case {"op": "release", "n": n}:
            released[n].set()
        case {"op": "send_text", "text": text}:
            await connection.send(text)
        case {"op": "send_binary", "bytes": numbers}:
            await connection.send(bytes(numbers))
        case {"op": "send_fragments", "parts": parts}:
            # The library sends a list as one message, each item a frame.
            await connection.send(parts)
        case {"op": "ping", "text": text}:
            # The library waits for a pong with this payload.
            await (await connection.ping(text))
            emit("pong", text=text)
        case {"op": "close", "code": code, "reason": reason}:
            await connection.close(code, reason)
        case _:
            raise ValueError(f"no such operation: {operation}")
