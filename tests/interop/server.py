"""A server on the library `websockets`. Beside the operations of `act`, which go to the newest connection:
listen {host, port, and if wanted refuse or greeting}, told as listening; each connection is told as open."""

import asyncio
import socket

from lines import LONGEST, act, hear, operations, tell
from websockets.asyncio.server import serve


class Server:
    def __init__(self, options):
        # The HTTP status with which every handshake is refused.
        self.refuse = options.get("refuse")
        # Text that leaves right behind the answer to the handshake.
        self.greeting = options.get("greeting")
        self.connection = None

    def check(self, connection, request):
        if self.refuse is not None:
            return connection.respond(self.refuse, "not today\n")
        if self.greeting is not None:
            cork(connection, True)

    async def accept(self, connection):
        self.connection = connection
        if self.greeting is not None:
            await connection.send(self.greeting)
            cork(connection, False)
        tell("open")
        await hear(connection)


def cork(connection, hold):
    """Holds back what is written, so that the answer to the handshake and the greeting leave in one segment."""
    connection.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, hold)


async def main():
    server = None
    async for operation in operations():
        if operation["op"] != "listen":
            await act(server.connection, operation)
            continue
        server = Server(operation)
        host, port = operation["host"], operation["port"]
        listener = await serve(server.accept, host, port, process_request=server.check, max_size=LONGEST)
        tell("listening", port=listener.sockets[0].getsockname()[1])


asyncio.run(main())
