"""A server on the library `websockets`. In addition to the operations of `act`, which use the newest connection:
listen {host, port, and optionally reject, greeting or deflate}. Its events are listening, and open for each connection."""

import asyncio
import socket

from asking import Asking
from lines import HANDLERS, LONGEST, act, compression, emit, emit_open, forward, operations
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


class Server:
    def __init__(self, options):
        # The HTTP status with which every handshake is rejected.
        self.reject = options.get("reject")
        # Text that is sent right after the answer to the handshake.
        self.greeting = options.get("greeting")
        self.asking = None

    def check(self, connection, request):
        if self.reject is not None:
            return connection.respond(self.reject, "not today\n")
        if self.greeting is not None:
            cork(connection, True)

    async def accept(self, connection):
        self.asking = Asking(connection, HANDLERS)
        if self.greeting is not None:
            await connection.send(self.greeting)
            cork(connection, False)
        emit_open(connection)
        await forward(self.asking)


def cork(connection, hold):
    """Holds back the output, so that the answer to the handshake and the greeting leave in one segment."""
    connection.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, hold)


async def main():
    server = None
    async for operation in operations():
        if operation["op"] != "listen":
            await act(server.asking, operation)
            continue
        server = Server(operation)
        host, port = operation["host"], operation["port"]
        options = compression(operation, ServerPerMessageDeflateFactory)
        listener = await serve(server.accept, host, port, process_request=server.check, max_size=LONGEST, **options)
        emit("listening", port=listener.sockets[0].getsockname()[1])


asyncio.run(main())
