"""Requests and replies, in both directions on one connection. docs/specification.md has the keys of their envelopes."""

import asyncio
import itertools
import json
import time


class Refusal(Exception):
    """The outcome of a request that is not done: code, message, data."""


class Asking:
    def __init__(self, connection, handlers):
        self.connection, self.handlers = connection, handlers
        self.ids, self.waiting, self.answering = itertools.count(1), {}, set()

    async def request(self, message_type, data, **keys):
        """Asks the peer, with `id` and `ttl` as keys if they are given. Returns the envelope of the reply or failure."""
        keys = {"id": next(self.ids), "ttl": 10_000} | keys
        reply = self.waiting[keys["id"]] = asyncio.get_running_loop().create_future()
        await self.send({"type": message_type, "data": data} | keys)
        return await reply

    def take(self, text):
        """Takes a reply or a request. Returns whether the text is one."""
        match parse(text):
            case {"re": request} as envelope:
                if reply := self.waiting.pop(request, None):
                    reply.set_result(envelope)
            case {"id": request, "type": message_type, "data": data}:
                self.keep(asyncio.create_task(self.answer(request, message_type, data)))
            case _:
                return False
        return True

    async def answer(self, request, message_type, data):
        try:
            handler = self.handlers.get(message_type)
            if handler is None:
                raise Refusal("not_handled", "no handler takes this type", None)
            reply_type, reply = await handler(self, data)
            outcome = {"type": reply_type, "data": reply}
        except Refusal as refusal:
            outcome = {"type": message_type, "err": dict(zip(("code", "message", "data"), refusal.args))}
        await self.send(outcome | {"re": request})

    async def send(self, envelope):
        await self.connection.send(json.dumps({"ver": 1, "ts": int(time.time())} | envelope))

    def keep(self, task):
        """Holds a task, because the event loop alone does not keep it alive."""
        self.answering.add(task)
        task.add_done_callback(self.answering.discard)


def parse(text):
    try:
        return json.loads(text)
    except ValueError:
        return None
