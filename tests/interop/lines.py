"""The shared parts of the two Python programs: operations come in and events go out, each a JSON object on a line."""

import asyncio
import json
import sys

from websockets.exceptions import ConnectionClosed

# Longer than the longest message of the tests, as a line and as a WebSocket message.
LONGEST = 16 << 20


def emit(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


async def operations():
    """Yields operations until standard input ends, which happens when the test exits."""
    reader = asyncio.StreamReader(limit=LONGEST)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


async def forward(connection):
    """Writes an event for each message, and for the close."""
    try:
        async for message in connection:
            if isinstance(message, str):
                emit("message", text=message)
            else:
                emit("binary", bytes=list(message))
    except ConnectionClosed:
        # Raised for every code except 1000 and 1001; the event below has the code.
        pass
    emit("close", code=connection.close_code, reason=connection.close_reason)


async def act(connection, operation):
    """Performs an operation on a connection, at either end of it."""
    match operation:
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
