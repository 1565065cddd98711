// The server's time, as well as the browser can know it. Charts end at now whether or not data comes: that is what makes a dead feed a gap.
import { Store } from "./store";
import type { Turns } from "./turns";

export class Clock {
  private offset = 0;
  /** second changes once a second: what shows an age listens to it. */
  readonly second: Store<number>;

  constructor(
    private readonly local: () => number = Date.now,
    private readonly turns?: Turns,
  ) {
    this.second = new Store(local(), turns);
  }

  /** now is the server's time in Unix milliseconds. */
  now = (): number => this.local() + this.offset;

  /** set takes the time of an HTTP date: whole seconds, so it speaks only when the clock is off by more than that. */
  set(server: number): void {
    const off = server + 500 - this.local();
    if (Number.isFinite(off) && Math.abs(off - this.offset) > 2000) this.offset = off;
  }

  /** push takes an as_of. It may push the clock on, never hold it back: one that stands still belongs to a dead feed, and time goes on. */
  push(asOf: number): void {
    const off = asOf - this.local();
    if (Number.isFinite(off) && off > this.offset) this.offset = off;
  }

  run(signal: AbortSignal): void {
    const tick = (): void => this.second.set(this.now());
    // A page that has more to draw than it can draws that first: else it would begin anew each second.
    const timer = setInterval(() => (this.turns ? this.turns.later(tick) : tick()), 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
  }
}
