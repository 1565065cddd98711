// The page's one connection: it stays open, is watched for silence and comes back by itself.
import type { Clock } from "../state/clock";
import { address } from "../state/route";
import { Store } from "../state/store";
import type { NowEvent } from "./contract";
import { refusal } from "./fetch";
import { merge, nothing, type Known } from "./merge";
import { sseParser } from "./sse";

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
  /** newsAt is the local time of the last event, 0 before the first. */
  newsAt = 0;
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
    let pause = 500;
    while (!signal.aborted) {
      const begun = this.newsAt;
      const error = await this.attempt(address("/api/v1/stream", { env, region }), signal);
      if (signal.aborted) return;
      const link = this.link.get();
      this.link.set({ ...link, state: link.heardAt ? "lost" : "refused", error });
      pause = this.newsAt > begun ? 500 : Math.min(5000, pause * 2);
      // Spread over half the pause, so that a hundred pages do not come back in one instant.
      await this.sleep(pause * (0.75 + Math.random() / 2), signal);
    }
  }

  private sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.wake = () => {
        clearTimeout(timer);
        done();
      };
      signal.addEventListener("abort", () => this.wake(), { once: true });
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
      const parse = sseParser((e) => {
        if (e.event === "now") this.take(JSON.parse(e.data) as NowEvent);
      });
      const text = new TextDecoder();
      const reader = res.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "the server closed the connection";
        heard = Date.now();
        this.hear(heard);
        parse(text.decode(value, { stream: true }));
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

  private take(e: NowEvent): void {
    this.newsAt = Date.now();
    this.clock.push(e.as_of);
    this.link.set({ state: "open", error: "", heardAt: this.newsAt });
    this.known.set(merge(this.known.get(), e));
  }
}
