"""Kept messages, as docs/specification.md has them in its section Delivery. Either end has an outbox and an inbox for each peer.
Both outlive connections. These are in memory, so they do not outlive the process."""

import asyncio
import contextlib
import json
import secrets
import time

from websockets.exceptions import ConnectionClosed


class Lane:
    """Messages that share one numbering, in its order."""

    def __init__(self):
        # The last number in use; what is kept, as number and envelope; the last number sent on
        # this connection.
        self.last, self.kept, self.sent = 0, {}, 0

    def keep(self, slot, key, envelope):
        self.last += 1
        # A newer message of its slot takes its place, at the end.
        self.kept.pop(slot, None)
        self.kept[slot] = self.last, envelope | {key: self.last}

    def handled(self, number):
        """Forgets what the peer has handled. A state is kept, for a peer that forgets it."""
        self.kept = {slot: kept for slot, kept in self.kept.items() if kept[0] > number or "state" in kept[1]}


class Outbox:
    # How many messages may be unacknowledged. A peer on a slow link adapts it.
    WINDOW = 16

    def __init__(self, report):
        self.report, self.epoch, self.seq, self.latest = report, secrets.token_hex(8), Lane(), Lane()
        self.connection, self.resumed, self.acknowledged = None, False, {}

    async def begin(self, connection):
        """Begins on a new connection. The answer of the peer says where to resume."""
        self.connection, self.resumed = connection, False
        first = min((number for number, _ in self.seq.kept.values()), default=self.seq.last + 1)
        await write(connection, {"type": "delivery", "seq": {"epoch": self.epoch, "first": first, "last": self.seq.last}})

    async def keep(self, key, message_type, data, of=None):
        """Keeps a message until it is handled. The key is `seq`, or `latest` or `state`, where only the newest is kept."""
        envelope = {"type": message_type, "data": data}
        if key == "seq":
            self.seq.keep(self.seq.last + 1, key, envelope)
        else:
            self.latest.keep((message_type, of), key, envelope)
        await self.send()

    def drop(self, number, why):
        """Drops a message, and explains the hole in its place."""
        hole = {"type": "delivery", "seq": {"epoch": self.epoch, "skip": [number, number], "why": why}}
        self.seq.kept[number] = number, hole

    async def take(self, envelope):
        """Takes an acknowledgement of this epoch. Returns whether the envelope is one."""
        match envelope:
            case {"type": "delivery", "ack": {"epoch": self.epoch, "seq": seq, "latest": latest} as ack}:
                # A failure comes again if it may have been lost with its connection.
                for failure in ack.get("failed", []):
                    lane = self.seq if "seq" in failure else self.latest
                    if max(failure.get("seq", 0), failure.get("latest", 0)) > self.acknowledged.get(lane, 0):
                        self.report("failed", **failure)
                self.acknowledged = {self.seq: seq, self.latest: latest}
                for lane, number in self.acknowledged.items():
                    lane.handled(number)
                    if not self.resumed:
                        lane.sent = number
                self.resumed = True
                await self.send()
            case {"type": "delivery", "ack": _}:
                pass
            case _:
                return False
        return True

    async def send(self):
        """Sends what was not sent on this connection, as far as the window allows. The newest values go first."""
        for lane in (self.latest, self.seq):
            for number, envelope in list(lane.kept.values()):
                if self.resumed and lane.sent < number and lane.sent < self.acknowledged[lane] + self.WINDOW:
                    lane.sent = number
                    await write(self.connection, envelope)


class Inbox:
    # An acknowledgement leaves after so many messages or seconds, whichever is first.
    MOST, DELAY = 16, 0.1

    def __init__(self, handle, report):
        # `handle(type, data)` is awaited for each message. It may raise.
        self.handle, self.report, self.epoch, self.handled = handle, report, None, {"seq": 0, "latest": 0}
        self.connection, self.failed, self.unacknowledged, self.timer = None, [], 0, None
        # A new connection waits for the handler of an earlier one, so that its message is not
        # handled twice.
        self.one_at_a_time = asyncio.Lock()

    async def take(self, connection, envelope):
        """Takes what an outbox sends. Returns whether the envelope is from one."""
        async with self.one_at_a_time:
            match envelope:
                case {"type": "delivery", "seq": {"skip": [first, last], "why": why}}:
                    if self.is_next(connection, "seq", last):
                        if why != "void":
                            self.report("gap", first=first, last=last, why=why)
                        await self.is_handled("seq", last)
                case {"type": "delivery", "seq": {"epoch": epoch}}:
                    if epoch != self.epoch:
                        self.epoch, self.handled = epoch, {"seq": 0, "latest": 0}
                    self.connection = connection
                    await self.acknowledge()
                case {"seq": number}:
                    await self.take_message(connection, "seq", number, envelope)
                case {"latest": number} | {"state": number}:
                    await self.take_message(connection, "latest", number, envelope)
                case _:
                    return False
        return True

    def is_next(self, connection, lane, number):
        """Whether this is not a duplicate, and of the connection that began last."""
        return connection is self.connection and number > self.handled[lane]

    async def take_message(self, connection, lane, number, envelope):
        if not self.is_next(connection, lane, number):
            return
        expected = self.handled["seq"] + 1
        if lane == "seq" and 1 < expected < number:
            self.report("gap", first=expected, last=number - 1, why="unknown")
        try:
            await self.handle(envelope["type"], envelope.get("data"))
        except Exception as error:
            self.failed.append({lane: number, "code": "failed", "message": str(error)})
        await self.is_handled(lane, number)

    async def is_handled(self, lane, number):
        self.handled[lane] = number
        self.unacknowledged += 1
        if self.unacknowledged == 1:
            self.timer = asyncio.create_task(self.acknowledge_later())
        elif self.unacknowledged == self.MOST:
            await self.acknowledge()

    async def acknowledge_later(self):
        await asyncio.sleep(self.DELAY)
        if self.unacknowledged > 0:
            await self.acknowledge()

    async def acknowledge(self):
        ack = {"epoch": self.epoch} | self.handled | ({"failed": self.failed} if self.failed else {})
        self.failed, self.unacknowledged = [], 0
        await write(self.connection, {"type": "delivery", "ack": ack})


async def write(connection, envelope):
    # What a broken connection loses is sent again on the next one.
    with contextlib.suppress(ConnectionClosed):
        await connection.send(json.dumps({"ver": 1, "ts": int(time.time())} | envelope))
