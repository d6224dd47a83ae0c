// Wrong use of the client. Each mistake is on the line below its comment, which has a part of the
// error's text.
import { type Client, connect, type Handlers, refuse, WebPage } from "../contract/client.js";
import type { WebPage as Types } from "../contract/types.js";

declare const client: Client<Types>;
declare const handlers: Handlers<Types>;
declare const url: string;

// A handler is forgotten.
const { order, ...withoutOrder } = handlers;
// Error: Property 'order' is missing in type
connect(WebPage, { url, handlers: withoutOrder });

// The answer to a request is forgotten.
const { ask, ...withoutAsk } = handlers;
// Error: Property 'ask' is missing in type
connect(WebPage, { url, handlers: withoutAsk });

// Error: Property 'handlers' is missing in type
connect(WebPage, { url });

// Error: 'readings' does not exist in type 'Handlers<WebPage>'
connect(WebPage, { url, handlers: { ...handlers, readings() {} } });

// Error: Property 'tekst' does not exist on type 'Notice'
connect(WebPage, { url, handlers: { ...handlers, notice: (notice) => notice.tekst } });

// Error: Type 'string' is not assignable to type 'Answer<{ request: Ask; reply: Told; refusal: Shy; }>
connect(WebPage, { url, handlers: { ...handlers, ask: () => "yes" } });

// Error: Type 'string' is not assignable to type 'number'
connect(WebPage, { url, handlers: { ...handlers, ask: () => refuse({ until: "soon" }) } });

// Error: 'reconnects' does not exist in type 'Options<WebPage>'
connect(WebPage, { url, handlers, reconnects: true });

// The other direction.
// Error: Argument of type '"order"' is not assignable to parameter of type
client.send("order", { n: 1 });

// A request is not sent.
// Error: Argument of type '"enter"' is not assignable to parameter of type
client.send("enter", { code: 1 });

// A message is not asked.
// Error: Argument of type '"reading"' is not assignable to parameter of type
client.request("reading", { n: 1 });

// Error: Argument of type '"redding"' is not assignable to parameter of type
client.send("redding", { n: 1 });

// Error: 'm' does not exist in type 'Reading'
client.send("reading", { m: 1 });

// Error: Type 'string' is not assignable to type 'number'
client.send("reading", { n: "1" });

// Error: Property 'celsius' is missing in type '{ device: string; }' but required in type 'Temperature'
client.deliver("temperature", { device: "north" });

// Error: Type 'string' is not assignable to type 'Int64'
client.request("enter", { code: "7" });

// Error: Property 'name' does not exist on type 'Entered'
client.request("enter", { code: 7 }).then((entered) => entered.name);

// Error: 'deadline' does not exist in type 'Asking'
client.request("enter", { code: 7 }, { deadline: 7 });

// Error: Property 'why' does not exist on type 'Denied'
client.refusal("enter", null)?.why;

// Nobody refuses it.
// Error: Property 'because' does not exist on type 'never'
client.refusal("hold", null)?.because;

// Error: Argument of type '"reading"' is not assignable to parameter of type
client.on("reading", () => {});

// Error: Argument of type '"enter"' is not assignable to parameter of type '"ask"'
client.answer("enter", () => ({ code: 7 }));

// The state says which members it has.
// Error: Property 'delay' does not exist on type 'State'
client.state.delay;

void [order, ask];
