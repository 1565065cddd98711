// One question, asked again and again: never twice at once, never for ever, and not while nobody looks.
import { plain, Refusal } from "./fetch";
import { span } from "../say/time";

export interface Ways<T> {
  /** everyMs is the pause after each answer; 0: never again, once there is one. */
  everyMs: number;
  ask: (signal: AbortSignal) => Promise<T>;
  told: (data: T) => void;
  failed: (error: Error) => void;
  /** hidden: does nobody look? */
  hidden: () => boolean;
  /** patienceMs is how long an answer may take. Without a bound one that never comes would be the last. */
  patienceMs: number;
}

/** oncePause is what the pauses grow from after a question that is asked once met nobody, or one who had no time. */
const oncePause = 1000;

/** passing: may the same question have an answer a little later? What was refused for good, or took too long, has none. */
const passing = (e: unknown): boolean => e instanceof TypeError || (e instanceof Refusal && [429, 502, 503, 504].includes(e.status));

/** longestPause is how long it waits at most after answers that failed. */
const longestPause = 15_000;

export class Poller<T> {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private cut: AbortController | null = null;
  private misses = 0;
  private over = false;

  constructor(private readonly ways: Ways<T>) {}

  /** look asks now, where no question is on its way; whoever begins to look calls it. */
  look = (): void => {
    if (this.over || this.cut || this.ways.hidden()) return;
    clearTimeout(this.timer);
    void this.round();
  };

  /** rest drops the question that is on its way and asks no more until the next look: a page that is put aside holds no connection. */
  rest = (): void => {
    clearTimeout(this.timer);
    this.cut?.abort();
    this.cut = null;
  };

  stop(): void {
    this.over = true;
    this.rest();
  }

  private async round(): Promise<void> {
    const { ask, told, failed, everyMs, patienceMs } = this.ways;
    const cut = new AbortController();
    this.cut = cut;
    let late: ReturnType<typeof setTimeout> | undefined;
    let pause = everyMs;
    try {
      const data = await Promise.race([
        ask(cut.signal),
        new Promise<never>((_, no) => {
          late = setTimeout(() => no(new Error(`no answer within ${span(patienceMs)}`)), patienceMs);
          cut.signal.addEventListener("abort", () => no(new Error("dropped")));
        }),
      ]);
      if (this.cut !== cut) return;
      this.misses = 0;
      this.over ||= everyMs === 0; // it is known now
      told(data);
    } catch (e) {
      if (this.cut !== cut) return;
      this.misses++;
      if (everyMs === 0 && passing(e)) pause = oncePause;
      failed(e instanceof Refusal ? e : new Error(plain(e)));
    } finally {
      clearTimeout(late);
      if (this.cut === cut) {
        this.cut = null;
        cut.abort(); // of one that was late
        if (pause > 0 && !this.over) this.timer = setTimeout(this.look, Math.min(longestPause, pause * 2 ** this.misses));
      }
    }
  }
}
