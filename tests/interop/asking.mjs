// Requests and replies, in both directions on one connection. docs/specification.md has the keys of
// their envelopes.

/** The outcome of a request that is not done: {code, message, data}. */
export class Refusal extends Error {
  constructor(err) {
    super(err.message);
    this.err = err;
  }
}

export class Asking {
  #ids = 0;
  #waiting = new Map();

  constructor(connection, handlers) {
    this.connection = connection;
    this.handlers = handlers;
  }

  /** Asks the peer. Returns the envelope of the reply or failure. */
  request(type, data, { id = ++this.#ids, ttl = 10_000 } = {}) {
    this.#send({ type, id, ttl, data });
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  /** Takes a reply or a request. Returns whether the text is one. */
  take(text) {
    const envelope = parse(text);
    if (envelope?.re !== undefined) {
      this.#waiting.get(envelope.re)?.(envelope);
      this.#waiting.delete(envelope.re);
    } else if (envelope?.id !== undefined && envelope.err === undefined) {
      this.#answer(envelope);
    } else {
      return false;
    }
    return true;
  }

  async #answer({ id: re, type, data }) {
    try {
      const handler = this.handlers[type];
      if (handler === undefined) {
        throw new Refusal({ code: "not_handled", message: "no handler takes this type" });
      }
      const [replyType, reply] = await handler(this, data);
      this.#send({ type: replyType, re, data: reply });
    } catch (refusal) {
      // Another error ends this program, and so the test.
      if (!(refusal instanceof Refusal)) throw refusal;
      this.#send({ type, re, err: refusal.err });
    }
  }

  #send(envelope) {
    this.connection.send(JSON.stringify({ ver: 1, ts: Math.floor(Date.now() / 1000), ...envelope }));
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
