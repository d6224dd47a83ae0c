"""A client on the library `websockets`. In addition to the operations of `act`: connect {url, and optionally deflate},
with the event open or rejected."""

import asyncio

from asking import Asking
from lines import HANDLERS, LONGEST, act, compression, emit, emit_open, forward, operations
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


async def main():
    asking = None
    # Held, because the event loop alone does not keep a task alive.
    forwarding = None
    async for operation in operations():
        if operation["op"] != "connect":
            await act(asking, operation)
            continue
        options = compression(operation, ClientPerMessageDeflateFactory)
        try:
            # A proxy from the environment must not be used between two programs of one machine.
            connection = await connect(operation["url"], max_size=LONGEST, proxy=None, **options)
        except InvalidStatus as rejection:
            emit("rejected", status=rejection.response.status_code)
        else:
            asking = Asking(connection, HANDLERS)
            emit_open(connection)
            forwarding = asyncio.create_task(forward(asking))


asyncio.run(main())
