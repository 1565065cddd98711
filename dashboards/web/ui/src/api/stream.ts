// The page's one connection: it stays open, is watched for silence and comes back by itself. It is let go while nobody looks.
import type { Clock } from "../state/clock";
import { address } from "../state/route";
import { Store } from "../state/store";
import type { Turns } from "../state/turns";
import { Breath } from "./breath";
import { browserName } from "./browser";
import type { NowEvent, RowsEvent } from "./contract";
import { getTitles, refusal, repace } from "./fetch";
import { merge, nothing, type Known } from "./merge";
import { Pacer, Way, type Why } from "./pace";
import { Rows } from "./rows";
import { sseParser, type ServerEvent } from "./sse";

/** silentAfter is how long a connection may say nothing at all: the server sends at least a comment every 5 s. */
export const silentAfter = 10_000;

/** hiddenFor is how long a page that nobody sees keeps its stream: who looks away for a moment comes back to what is there. */
const hiddenFor = 15_000;
/** glance is how often such a page asks for what its title says. */
const glance = 60_000;

export interface Link {
  /** opening: never heard anything yet; open: heard lately; lost: was open and is silent or refused; refused: never got through; resting: let go, for nobody looks. */
  state: "opening" | "open" | "lost" | "refused" | "resting";
  error: string;
  heardAt: number; // local time of the last bytes; 0: never
  since: number; // local time at which it was first tried
  patience: number; // how long it may be silent
}

/** Pace is how often the page is told. */
export interface Pace {
  every: number; // ms; 0: as news comes
  why: Why; // it is not, or was not
  since: number; // local time; 0: from the beginning
}

/** End is why a connection ended. */
type End = { why: "pace" | "hidden" | "error"; error: string } | { why: "turn"; after: number };

export class Stream {
  readonly known: Store<Known>;
  /** link is told at once: what is lost is not news among others. */
  readonly link = new Store<Link>({ state: "opening", error: "", heardAt: 0, since: 0, patience: silentAfter });
  readonly pace = new Store<Pace>({ every: 0, why: "connection", since: 0 });
  /** drawn is the as_of of the event that is on the screen whole; 0: none is. */
  readonly drawn = new Store(0);
  /** newsAt is the local time of the last event, 0 before the first. */
  newsAt = 0;
  private readonly pacer = new Pacer();
  private rows = new Rows(); // of this connection
  private fresh = true; // nothing of this connection is known yet
  private id = ""; // of this connection
  private again = 0; // ms; it is not told on, and may come again then
  private hiddenSince = Infinity;
  private wake: () => void = () => {};

  constructor(
    private readonly clock: Clock,
    private readonly turns: Turns,
  ) {
    this.known = new Store(nothing, turns);
  }

  /** retry tries again at once instead of after the pause. */
  retry = (): void => this.wake();

  /** run follows one environment, or a region of it, until the signal is aborted. */
  async run(env: string, region: string, signal: AbortSignal): Promise<void> {
    this.known.set(nothing);
    this.link.set({ state: "opening", error: "", heardAt: 0, since: Date.now(), patience: silentAfter });
    this.newsAt = 0;
    this.hiddenSince = document.hidden ? 0 : Infinity; // opened behind another: it is filled and let go
    window.addEventListener("online", () => this.wake(), { signal });
    document.addEventListener("visibilitychange", () => this.turned(), { signal });
    signal.addEventListener("abort", () => this.wake(), { once: true });
    let pause = 500;
    while (!signal.aborted) {
      if (this.away()) await this.rest(env, region, signal);
      if (signal.aborted) return;
      const begun = this.newsAt;
      const end = await this.attempt(env, region, signal);
      if (signal.aborted) return;
      if (end.why === "pace" || end.why === "hidden") continue;
      if (end.why === "turn") {
        this.link.set({ ...this.link.get(), patience: silentAfter + end.after });
        await this.sleep(end.after);
        continue;
      }
      const link = this.link.get();
      this.link.set({ ...link, state: this.newsAt ? "lost" : "refused", error: end.error });
      pause = this.newsAt > begun ? 500 : Math.min(5000, pause * 2);
      // Spread over half the pause, so that a hundred pages do not come back in one instant.
      await this.sleep(pause * (0.75 + Math.random() / 2));
    }
  }

  private turned(): void {
    this.hiddenSince = document.hidden ? Date.now() : Infinity;
    this.wake();
  }

  /** away: nobody has looked for a while, and what there was to see has come. */
  private away(): boolean {
    return this.newsAt > 0 && Date.now() - this.hiddenSince >= hiddenFor;
  }

  /** rest waits until somebody looks again. Meanwhile the title alone is kept true, which is all that can be seen of the page. */
  private async rest(env: string, region: string, signal: AbortSignal): Promise<void> {
    const link = this.link.get();
    if (link.state === "open") this.link.set({ ...link, state: "resting", patience: Infinity }); // one that was lost says so until it is heard again
    while (!signal.aborted && document.hidden) {
      await this.sleep(glance);
      if (signal.aborted || !document.hidden) return;
      const cut = new AbortController();
      const stop = (): void => cut.abort();
      this.wake = stop;
      const late = setTimeout(stop, silentAfter);
      try {
        const { findings } = await getTitles(env, region, cut.signal);
        if (signal.aborted) return;
        this.known.set({ ...this.known.get(), findings });
        this.link.set({ ...link, state: "resting", error: "", patience: Infinity });
      } catch (e) {
        if (document.hidden && !signal.aborted) this.link.set({ ...link, state: "lost", error: cut.signal.aborted ? "" : said(e) });
      } finally {
        clearTimeout(late);
      }
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
  private async attempt(env: string, region: string, signal: AbortSignal): Promise<End> {
    const cut = new AbortController();
    let ended: End | undefined;
    const end = (e: End): void => {
      ended ??= e;
      cut.abort();
    };
    const stop = (): void => cut.abort();
    signal.addEventListener("abort", stop, { once: true });
    let heard = Date.now();
    const watch = setInterval(() => {
      // That it says nothing is said anyway.
      if (Date.now() - heard > silentAfter) end({ why: "error", error: "" });
      else if (!this.fresh && this.away()) end({ why: "hidden", error: "" });
    }, 500);
    this.fresh = true;
    try {
      const query = { env, region, parts: "1", every: this.pacer.every ? String(this.pacer.every) : undefined, browser: browserName(window) || undefined };
      const res = await fetch(address("/api/v1/stream", query), { signal: cut.signal, headers: { Accept: "text/event-stream" }, cache: "no-store" });
      const way = new Way(performance.now());
      if (!res.ok || !res.body) return { why: "error", error: (await refusal(res)).message };
      this.clock.set(Date.parse(res.headers.get("Date") ?? ""));
      const events: ServerEvent[] = [];
      const parse = sseParser((e) => events.push(e));
      const text = new TextDecoder();
      const reader = res.body.getReader();
      const breath = new Breath();
      this.rows = new Rows();
      this.again = 0;
      this.pacer.fresh();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { why: "error", error: "the server closed the connection" };
        heard = Date.now();
        const came = performance.now();
        this.hear(heard);
        breath.work(() => parse(text.decode(value, { stream: true })));
        for (const e of events.splice(0)) {
          await breath.pause();
          cut.signal.throwIfAborted();
          const late = e.id ? way.late(came, Number(e.id)) : 0;
          const known = breath.work(() => this.take(e));
          if (!known) continue;
          const full = this.fresh;
          this.set(known);
          const drew = await this.turns.after(() => this.drawn.set(known.asOf));
          if (this.again) return { why: "turn", after: this.again };
          this.judge(late, full, breath.took() + drew, end);
        }
      }
    } catch (e) {
      return ended ?? { why: "error", error: said(e) };
    } finally {
      cut.abort();
      clearInterval(watch);
      signal.removeEventListener("abort", stop);
    }
  }

  private hear(at: number): void {
    const link = this.link.get();
    // A second is fine enough for those who show it; a change a chunk would draw the page for nothing.
    if ((link.state === "open" || link.state === "opening") && at - link.heardAt > 900) this.link.set({ ...link, heardAt: at });
  }

  /** take takes in one event; what is known then, when it is whole. */
  private take(e: ServerEvent): Known | null {
    if (e.event === "rows") this.rows.take(JSON.parse(e.data) as RowsEvent);
    if (e.event !== "now") return null;
    const now = JSON.parse(e.data) as NowEvent;
    if (now.full) {
      this.id = now.stream ?? "";
      this.again = now.again_ms ?? 0;
    }
    return merge(this.known.get(), now, this.rows);
  }

  private set(known: Known): void {
    this.fresh = false;
    this.newsAt = Date.now();
    this.clock.push(known.asOf);
    this.link.set({ ...this.link.get(), state: "open", error: "", heardAt: this.newsAt, patience: silentAfter });
    if (this.again) this.told(this.again, "windows");
    else if (this.pace.get().why === "windows") this.told(this.pacer.every, this.pacer.every ? this.pacer.why : "windows");
    this.known.set(known);
  }

  private told(every: number, why: Why): void {
    const was = this.pace.get();
    if (was.every !== every || (every > 0 && was.why !== why)) this.pace.set({ every, why, since: this.newsAt });
  }

  private drawnAt = 0;

  /** judge sees, once an event is drawn, whether this browser and its connection keep up, and has them told at the pace that they keep. */
  private judge(late: number, full: boolean, work: number, end: (e: End) => void): void {
    const at = performance.now();
    const since = this.drawnAt ? at - this.drawnAt : Infinity;
    this.drawnAt = at;
    const was = this.pacer.every;
    // A page that nobody sees is slowed by the browser, and the first event is the largest.
    if (document.hidden || full || !this.pacer.drew({ at, late, work, since })) return;
    const { every, why } = this.pacer;
    this.told(every, why);
    // What waits for a browser that has too much to do goes with its connection. To one that carries too little, all that there is would be the worst to send again.
    if (!this.id || (every > was && why === "browser")) end({ why: "pace", error: "" });
    else repace(this.id, every).catch(() => end({ why: "pace", error: "" }));
  }
}

const said = (e: unknown): string => (e instanceof TypeError ? "it cannot be reached" : e instanceof Error ? e.message : String(e));
