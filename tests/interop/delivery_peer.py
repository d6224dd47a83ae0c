"""A client or a server with kept messages, on the library `websockets`. It does the operations connect {url}, listen {host,
port}, keep {key, type, data, and optionally of}, drop {number, why}, lose {what: outbox, inbox}, send_text {text}, cut, and
fail {type}. Its events are listening, open, close, handled {type, data}, gap {first, last, why}, and failed {seq or latest,
code, message}."""

import asyncio
import json

from delivery import Inbox, Outbox
from lines import LONGEST, emit, operations
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


class Peer:
    def __init__(self):
        self.outbox, self.inbox = Outbox(emit), Inbox(self.handle, emit)
        self.failing, self.connection, self.reading = set(), None, None

    async def handle(self, message_type, data):
        if message_type in self.failing:
            raise ValueError(f"asked to fail: {message_type}")
        emit("handled", type=message_type, data=data)

    async def talk(self, connection):
        self.connection = connection
        emit("open")
        await self.outbox.begin(connection)
        try:
            async for text in connection:
                envelope = json.loads(text)
                if not (await self.outbox.take(envelope) or await self.inbox.take(connection, envelope)):
                    emit("message", text=text)
        except ConnectionClosed:
            pass
        emit("close", code=connection.close_code, reason=connection.close_reason)

    async def act(self, operation):
        match operation:
            case {"op": "connect", "url": url}:
                # A proxy from the environment must not be used between two programs of one machine.
                connection = await connect(url, max_size=LONGEST, proxy=None)
                self.reading = asyncio.create_task(self.talk(connection))
            case {"op": "listen", "host": host, "port": port}:
                listener = await serve(self.talk, host, port, max_size=LONGEST)
                emit("listening", port=listener.sockets[0].getsockname()[1])
            case {"op": "keep", "key": key, "type": message_type, "data": data}:
                await self.outbox.keep(key, message_type, data, operation.get("of"))
            case {"op": "drop", "number": number, "why": why}:
                self.outbox.drop(number, why)
            case {"op": "lose", "what": "outbox"}:
                self.outbox = Outbox(emit)
            case {"op": "lose", "what": "inbox"}:
                self.inbox = Inbox(self.handle, emit)
            case {"op": "send_text", "text": text}:
                await self.connection.send(text)
            case {"op": "fail", "type": message_type}:
                self.failing.add(message_type)
            case {"op": "cut"}:
                # As a link that breaks: no close frame, and what the other end has written is lost.
                self.connection.transport.abort()
            case _:
                raise ValueError(f"no such operation: {operation}")


async def main():
    peer = Peer()
    async for operation in operations():
        await peer.act(operation)


asyncio.run(main())
