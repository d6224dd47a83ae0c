// One box: its facts, its charts, and the requests that a person sends it.
import { Chart } from "./charts.js";
import { NOTHING, duration, exactTime, latency, percent, plural, rate } from "./words.js";

const $ = (id) => document.getElementById(id);
/** Time for an answer, in milliseconds. The server answers within 4 s, at least with a reason. */
const TIMEOUT = 6000;
const number = (value) => (value === null ? null : Number(value));

export class Details {
  #fleet;
  #client;
  #close;
  #charts = [];
  /** Name of the open box. */
  id = null;

  constructor(fleet, client, close) {
    this.#fleet = fleet;
    this.#client = client;
    this.#close = close;
  }

  /** Opens a box, or closes the view if it is `null`. */
  open(id) {
    if (id === this.id) return;
    this.id = id;
    this.#fleet.history = null;
    $("details").hidden = id === null;
    document.documentElement.dataset.view = id === null ? "list" : "box";
    $("details").replaceChildren();
    if (id === null) return;
    $("details").append($("details-view").content.cloneNode(true));
    $("details-title").textContent = id;
    this.#charts = [
      new Chart("CPU", [(sample) => sample.cpu], percent, 100),
      new Chart("Memory", [(sample) => sample.memory], percent, 100),
      new Chart("Network, received / sent", [({ received }) => number(received), ({ sent }) => number(sent)], rate),
      new Chart("Link latency", [(sample) => sample.latency], latency),
    ];
    $("details").querySelector(".charts").append(...this.#charts.map(({ element }) => element));
    $("details").querySelector(".close").addEventListener("click", this.#close);
    for (const form of $("details").querySelectorAll("form")) {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.#ask(form);
      });
    }
    this.update();
    this.load();
    $("details-title").focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  /** Asks the server for the samples of the open box, which the charts then continue. */
  async load() {
    const { id } = this;
    if (id === null) return;
    try {
      const { samples } = await this.#client.request("read_history", { id }, { timeout: TIMEOUT });
      if (id !== this.id) return;
      this.#fleet.history = samples;
      this.update();
    } catch {
      // The link is down, and the banner says so. It is asked again when the link is up.
    }
  }

  /** Shows the newest values. */
  update() {
    const box = this.#fleet.boxes.get(this.id);
    if (this.id === null) return;
    if (!box) {
      this.#fact("state", "not known to the server");
      return;
    }
    const { status } = box;
    const now = this.#fleet.now;
    const since = Number(status.since);
    $("details").dataset.is = status.online ? "online" : "away";
    this.#fact("state", `${status.online ? "online" : "away"} since ${exactTime(since, now)}, for ${duration(now - since)}`);
    const reason = this.#fact("reason", status.reason ? `Why it is away: ${status.reason}` : "");
    reason.hidden = !status.reason;
    this.#fact("labels", status.labels.join(", ") || NOTHING);
    this.#fact("version", version(status.version, this.#fleet.version));
    this.#fact("rate", status.per_second === null ? NOTHING : `${status.per_second} per second`);
    this.#fact("reconnects", String(status.reconnects));
    this.#fact("outbox", status.outbox === null ? "not reported" : plural(status.outbox, "message"));
    this.#fact("mailbox", plural(status.mailbox, "message"));
    for (const chart of this.#charts) chart.draw(this.#fleet.history ?? [], now, status.online);
  }

  #fact(name, text) {
    const element = $("details").querySelector(`[data-fact="${name}"]`);
    if (element.textContent !== text) element.textContent = text;
    return element;
  }

  /** Sends the request of a form, and shows its reply, or the reason for a missing one. */
  async #ask(form) {
    const { id } = this;
    const answer = $("details").querySelector(".answer");
    const show = (is, text) => {
      // Another box may be open by now.
      if (!answer.isConnected) return;
      answer.dataset.is = is;
      answer.textContent = text;
    };
    const button = form.querySelector("button");
    show("waiting", "Waiting for the answer …");
    // Not disabled, which would take the focus away.
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    try {
      show("reply", await this.#requests[form.dataset.ask](id, form));
    } catch (error) {
      show("reason", `${id} did not answer: ${this.#reason(error)}.`);
    } finally {
      button.ariaDisabled = null;
    }
  }

  #requests = {
    health: async (id) => {
      const { uptime_s, load, took } = await this.#request("check_box", { id });
      const up = duration(Number(uptime_s) * 1000);
      return `${id} is well. Its host has been up for ${up}, with load ${load.toFixed(2)}. It answered in ${latency(took)}.`;
    },
    rate: async (id, form) => {
      const per_second = form.elements.rate.valueAsNumber;
      const { before, took } = await this.#request("set_box_rate", { id, per_second });
      return `${id} now sends ${per_second} samples per second, before ${before}. It answered in ${latency(took)}.`;
    },
    notice: async (id, form) => {
      const { text } = form.elements;
      const { waiting } = await this.#request("send_notice", { id, text: text.value });
      text.value = "";
      const online = this.#fleet.boxes.get(id)?.status.online;
      if (online) return `The notice is on its way to ${id}.`;
      return `${id} is away. ${plural(waiting, "message")} ${waiting === 1 ? "waits" : "wait"} for it in its mailbox.`;
    },
  };

  #request(type, data) {
    return this.#client.request(type, data, { timeout: TIMEOUT });
  }

  #reason(error) {
    const refused = ["check_box", "set_box_rate", "send_notice"].map((type) => this.#client.refusal(type, error)).find(Boolean);
    if (refused) return refused.reason;
    switch (error.code) {
      case "not_connected":
      case "ended":
        return "this page is not connected to the server";
      case "timed_out":
        return "the server did not answer in time";
      default:
        return error.message;
    }
  }
}

function version(own, server) {
  if (own === null) return "not reported";
  return own === server ? `v${own}, as the server` : `v${own}; the server speaks v${server}`;
}
