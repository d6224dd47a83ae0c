// Good use of the client. Strict TypeScript accepts all of it.
import WebSocket from "ws";
import { type Client, connect, type Handlers, refuse, RequestError, type State, WebPage } from "../contract/client.js";
import { indexedDb } from "../contract/store.js";
import type { Int64, Sample, WebPage as Types } from "../contract/types.js";

const handlers: Handlers<Types> = {
  sample(sample) {
    const big: Int64 = sample.big;
    const note: string = sample.note ?? "none";
    if (sample.mode.kind === "timed") console.log(big, note, BigInt(sample.mode.seconds) + 1n);
  },
  async order({ n }, { delivered, signal }) {
    console.log(n, delivered?.epoch, delivered?.number, signal.aborted);
  },
  gauge: ({ place, value }) => [place, value],
  wish: () => {},
  notice(notice) {
    const text: string = notice.text;
    console.log(text);
  },
  ask: ({ how }) => (how === "shy" ? refuse({ until: 5 }) : { said: how }),
};

export const client: Client<Types> = connect(WebPage, {
  url: async () => new URL(`wss://example.com/ws?token=${Math.random()}`),
  handlers,
  WebSocket,
  store: indexedDb("page"),
  backoff: { max: 10_000 },
  heartbeat: null,
  onState: (state: State) => console.log(state.is, state.since.getTime(), state.is === "waiting" && state.delay),
  onProblem(problem) {
    if (problem.is === "delivery_gap") console.log(problem.from, problem.to);
  },
});

export async function use(sample: Sample): Promise<void> {
  await client.send("sample", { ...sample, big: 18446744073709551615n, debt: 5 });
  await client.deliver("reading", { n: 1 });
  const { code } = await client.request("enter", { code: 7n }, { timeout: 500, signal: new AbortController().signal });
  console.log(code);
  try {
    await client.request("hold", {});
  } catch (error) {
    const denied = client.refusal("enter", error);
    if (denied) console.log(denied.because.length);
    else if (error instanceof RequestError && error.code === "busy") client.retryNow();
  }
  const off = client.on("notice", ({ text }) => console.log(text));
  off();
  client.answer("ask", async ({ how }) => ({ said: how }));
  await client.connected();
  await client.drained();
  await client.close();
}
