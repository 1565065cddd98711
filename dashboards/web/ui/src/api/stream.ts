// The page's one connection: it stays open, is watched for silence and comes back by itself.
import type { Clock } from "../state/clock";
import { address } from "../state/route";
import { Store } from "../state/store";
import { Breath } from "./breath";
import type { NowEvent, Row, RowsEvent } from "./contract";
import { refusal } from "./fetch";
import { merge, nothing, Parts, type Known } from "./merge";
import { Pacer } from "./pace";
import { sseParser, type ServerEvent } from "./sse";

/** silentAfter is how long a connection may say nothing at all: the server sends at least a comment every 5 s. */
export const silentAfter = 10_000;

export interface Link {
  /** opening: never heard anything yet; open: heard lately; lost: was open and is silent or refused; refused: never got through. */
  state: "opening" | "open" | "lost" | "refused";
  error: string;
  heardAt: number; // local time of the last bytes; 0: never
}

export class Stream {
  readonly known = new Store<Known>(nothing);
  readonly link = new Store<Link>({ state: "opening", error: "", heardAt: 0 });
  /** every is how far apart events are because this browser does not keep up, in milliseconds; 0: they come as they are. */
  readonly every = new Store(0);
  /** newsAt is the local time of the last event, 0 before the first. */
  newsAt = 0;
  private readonly pacer = new Pacer();
  private parts = new Parts();
  private rows: Row[][] = []; // of an event that has not come whole
  private fresh = true; // nothing of this connection is known yet
  private wake: () => void = () => {};

  constructor(private readonly clock: Clock) {}

  /** retry tries again at once instead of after the pause. */
  retry = (): void => this.wake();

  /** run follows one environment, or a region of it, until the signal is aborted. */
  async run(env: string, region: string, signal: AbortSignal): Promise<void> {
    this.known.set(nothing);
    this.link.set({ state: "opening", error: "", heardAt: 0 });
    this.newsAt = 0;
    const wake = (): void => this.wake();
    window.addEventListener("online", wake, { signal });
    document.addEventListener("visibilitychange", wake, { signal });
    signal.addEventListener("abort", wake, { once: true });
    let pause = 500;
    while (!signal.aborted) {
      const begun = this.newsAt;
      const error = await this.attempt(address("/api/v1/stream", { env, region, parts: "1", every: this.pacer.every ? String(this.pacer.every) : undefined }), signal);
      if (signal.aborted) return;
      if (error === otherPace) continue;
      const link = this.link.get();
      this.link.set({ ...link, state: link.heardAt ? "lost" : "refused", error });
      pause = this.newsAt > begun ? 500 : Math.min(5000, pause * 2);
      // Spread over half the pause, so that a hundred pages do not come back in one instant.
      await this.sleep(pause * (0.75 + Math.random() / 2));
    }
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  /** attempt reads one connection to its end and says why it ended. */
  private async attempt(from: string, signal: AbortSignal): Promise<string> {
    const cut = new AbortController();
    const stop = (): void => cut.abort();
    signal.addEventListener("abort", stop, { once: true });
    let heard = Date.now();
    let silent = false;
    const watch = setInterval(() => {
      if (Date.now() - heard <= silentAfter) return;
      silent = true;
      cut.abort();
    }, 500);
    try {
      const res = await fetch(from, {
        signal: cut.signal,
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
      });
      if (!res.ok || !res.body) return (await refusal(res)).message;
      this.clock.set(Date.parse(res.headers.get("Date") ?? ""));
      const events: ServerEvent[] = [];
      const parse = sseParser((e) => events.push(e));
      const text = new TextDecoder();
      const reader = res.body.getReader();
      const breath = new Breath();
      this.fresh = true;
      this.parts = new Parts();
      this.rows = [];
      this.pacer.fresh();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "the server closed the connection";
        heard = Date.now();
        this.hear(heard);
        breath.work(() => parse(text.decode(value, { stream: true })));
        for (const e of events.splice(0)) {
          await breath.pause();
          if (cut.signal.aborted) return "";
          const known = breath.work(() => this.take(e));
          if (!known) continue;
          await breath.pause(1); // what is drawn gets a frame of its own
          if (cut.signal.aborted) return "";
          const full = this.fresh;
          breath.work(() => this.set(known));
          if (this.kept(known.asOf, full, await breath.drawn())) return otherPace;
        }
      }
    } catch (e) {
      if (silent) return ""; // that it says nothing is said anyway
      return e instanceof TypeError ? "it cannot be reached" : e instanceof Error ? e.message : String(e);
    } finally {
      cut.abort();
      clearInterval(watch);
      signal.removeEventListener("abort", stop);
    }
  }

  private hear(at: number): void {
    const link = this.link.get();
    // A second is fine enough for those who show it; a change a chunk would draw the page for nothing.
    if (link.state === "open" && at - link.heardAt > 900) this.link.set({ ...link, heardAt: at });
  }

  /** take takes in one event; what is known then, when it is whole. */
  private take(e: ServerEvent): Known | null {
    const was = this.known.get();
    const base = this.fresh ? nothing : was;
    if (e.event === "rows") {
      this.rows.push(this.parts.prepare(base, JSON.parse(e.data) as RowsEvent));
      return null;
    }
    if (e.event !== "now") return null;
    const now = JSON.parse(e.data) as NowEvent;
    const rows = [...this.rows, this.parts.prepare(base, now)];
    this.rows = [];
    return merge(was, now, rows);
  }

  private set(known: Known): void {
    this.fresh = false;
    this.newsAt = Date.now();
    this.clock.push(known.asOf);
    this.link.set({ state: "open", error: "", heardAt: this.newsAt });
    this.known.set(known);
  }

  private drawnAt = 0;

  /** kept measures, once an event is drawn, whether this browser keeps up. True: it is to be told at another pace. */
  private kept(asOf: number, full: boolean, work: number): boolean {
    const at = Date.now();
    const since = this.drawnAt ? at - this.drawnAt : Infinity;
    this.drawnAt = at;
    // A page that nobody sees is slowed by the browser, and the first event is the largest.
    if (document.hidden || full || !this.pacer.drew(at, at - asOf, work, since)) return false;
    this.every.set(this.pacer.every);
    return true;
  }
}

/** otherPace ends a connection that is to be followed at once by one of another pace. */
const otherPace = "another pace";
