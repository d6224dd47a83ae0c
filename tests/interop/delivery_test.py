"""Kept messages between a box and a station that are both Python, over links that break."""

import asyncio
import json
import random
import unittest

from delivery import Inbox, Outbox
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

DEADLINE = 10


class End:
    """One end, which remembers what it handles and what is reported."""

    def __init__(self):
        self.handled, self.reports, self.changed = [], [], asyncio.Event()
        self.outbox, self.inbox = Outbox(self.report), Inbox(self.handle, self.report)
        self.connection, self.failing, self.received = None, set(), []

    async def handle(self, message_type, data):
        self.changed.set()
        if message_type in self.failing:
            raise ValueError("asked to fail")
        self.handled.append((message_type, data))

    def report(self, event, **values):
        self.reports.append((event, values))
        self.changed.set()

    async def talk(self, connection):
        await self.outbox.begin(connection)
        try:
            async for text in connection:
                envelope = json.loads(text)
                self.received.append(envelope)
                assert await self.outbox.take(envelope) or await self.inbox.take(connection, envelope), text
                self.changed.set()
        except ConnectionClosed:
            pass

    async def until(self, condition):
        """Waits until this is true of this end."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Delivery(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.box, self.station = End(), End()
        server = await self.enterAsyncContext(serve(self.station.talk, "127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.reading = None

    async def reconnect(self):
        """Connects the box, after it has cut its connection if there is one."""
        if self.reading is not None:
            self.box.connection.transport.abort()
            await self.reading
        self.box.connection = await connect(self.url, proxy=None)
        self.reading = asyncio.create_task(self.box.talk(self.box.connection))

    async def asyncTearDown(self):
        if self.reading is not None:
            await self.box.connection.close()
            await self.reading

    async def test_each_message_is_handled_once_and_in_order_over_a_link_that_breaks(self):
        both = (self.box, self.station)
        dice = random.Random(16)
        for number in range(300):
            if number % 10 == 0:
                await self.reconnect()
            for end in both:
                await end.outbox.keep("seq", "n", number)
            # At some cuts nothing has arrived, and at others everything.
            await asyncio.sleep(dice.choice([0, 0, 0.001]))
        for end in both:
            await end.until(lambda: len(end.handled) >= 300)
            self.assertEqual([data for _, data in end.handled], list(range(300)))
            self.assertEqual(end.reports, [])
        for end in both:
            await end.until(lambda: end.outbox.seq.kept == {})

    async def test_what_is_kept_before_the_first_connection_is_delivered(self):
        for number in range(40):
            await self.station.outbox.keep("seq", "n", number)
        await self.reconnect()
        await self.box.until(lambda: len(self.box.handled) == 40)
        # Never more than the window were in flight, and few acknowledgements were necessary.
        acks = [envelope["ack"]["seq"] for envelope in self.station.received if "ack" in envelope]
        self.assertEqual(acks[:3], [0, 16, 32])

    async def test_only_the_newest_of_each_slot_waits(self):
        for number in range(5):
            await self.box.outbox.keep("latest", "temperature", number, of="north")
            await self.box.outbox.keep("latest", "temperature", 10 + number, of="south")
        await self.box.outbox.keep("latest", "temperature", 5, of="north")
        await self.box.outbox.keep("seq", "n", 0)
        await self.reconnect()
        await self.station.until(lambda: len(self.station.handled) == 3)
        self.assertEqual(self.station.handled, [("temperature", 14), ("temperature", 5), ("n", 0)])
        await self.box.until(lambda: self.box.outbox.latest.kept == {})

    async def test_a_state_is_sent_until_it_is_handled_and_again_to_a_peer_that_forgot(self):
        config = ("config", {"version": 1})
        await self.station.outbox.keep("state", *config)
        for number in range(3):
            await self.station.outbox.keep("seq", "n", number)
            await self.reconnect()
            await self.box.until(lambda: self.box.handled[-1:] == [("n", number)])
        self.assertEqual(self.box.handled, [config, ("n", 0), ("n", 1), ("n", 2)])
        await self.station.until(lambda: self.station.outbox.seq.kept == {})
        self.box.inbox = Inbox(self.box.handle, self.box.report)
        await self.reconnect()
        await self.box.until(lambda: self.box.handled[-1] == config)

    async def test_a_failure_counts_as_handled_and_is_reported(self):
        self.station.failing.add("broken")
        await self.reconnect()
        await self.box.outbox.keep("seq", "broken", None)
        await self.box.outbox.keep("seq", "n", 1)
        await self.box.until(lambda: self.box.outbox.seq.kept == {})
        failure = {"seq": 1, "code": "failed", "message": "asked to fail"}
        self.assertEqual(self.box.reports, [("failed", failure)])
        self.assertEqual(self.station.handled, [("n", 1)])

    async def test_a_hole_is_explained_and_a_new_store_begins_anew(self):
        for number in range(1, 5):
            await self.box.outbox.keep("seq", "n", number)
        self.box.outbox.drop(2, "expired")
        self.box.outbox.drop(4, "void")
        await self.reconnect()
        await self.box.until(lambda: self.box.outbox.seq.kept == {})
        self.assertEqual(self.station.handled, [("n", 1), ("n", 3)])
        self.assertEqual(self.station.reports, [("gap", {"first": 2, "last": 2, "why": "expired"})])
        # The sender loses its store: its numbers begin again, and nothing is taken for a duplicate.
        self.box.outbox = Outbox(self.box.report)
        await self.box.outbox.keep("seq", "n", 5)
        await self.reconnect()
        await self.station.until(lambda: self.station.handled[-1] == ("n", 5))

    async def test_what_comes_again_or_without_a_begin_is_ignored(self):
        await self.reconnect()
        await self.box.outbox.keep("seq", "n", 1)
        await self.box.until(lambda: self.box.outbox.seq.kept == {})
        again, other = ({"type": "n", "seq": number, "data": number} for number in (1, 2))
        await self.station.inbox.take(self.station.inbox.connection, again)
        await self.station.inbox.take("a connection that has not begun", other)
        self.assertEqual(self.station.handled, [("n", 1)])

    async def test_a_jump_without_an_explanation_is_a_gap_except_for_a_receiver_that_is_new(self):
        for number in range(1, 6):
            await self.box.outbox.keep("seq", "n", number)
        del self.box.outbox.seq.kept[1], self.box.outbox.seq.kept[4]
        await self.reconnect()
        await self.box.until(lambda: self.box.outbox.seq.kept == {})
        self.assertEqual(self.station.reports, [("gap", {"first": 4, "last": 4, "why": "unknown"})])


unittest.main()
