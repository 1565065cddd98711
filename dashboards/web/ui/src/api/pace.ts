// How often a page is told, by what its browser and its connection bear. Pure: it is told of times and keeps no clock itself.

/** paces are how far apart events may be, in milliseconds; 0: as they come. */
export const paces: readonly number[] = [0, 2000, 5000, 10_000];

/** second stands for the pause at the quickest pace: two events, where the server has little else to do. */
const second = 1000;

const most = 0.6; // of its time that a page may spend on events
const lateBy = 2000; // so much later than the quickest an event may come, or by a pause where that is longer
const strikes = 3; // events in a row, at the pace that there is
const calm = 0.4; // of the time, and half of a pause on the way: with less the pace would be kept
const rest = 10_000; // so long it must be so
const mostRest = 300_000; // where a quicker pace was tried and not kept
const tried = 60_000; // for so long

/** Why a page is told less often: its browser has too much to do, its connection carries too little, or other windows hold the browser's connections. */
export type Why = "browser" | "connection" | "windows";

/** Way measures how much longer events are on their way than the quickest: by when each was sent there and came here, each by its own clock since the stream began. */
export class Way {
  private best = 0; // the stream's beginning was on its way, too
  private at: number;

  constructor(private readonly opened: number) {
    this.at = opened;
  }

  /** late is by how much one came later that was sent so long after the beginning. */
  late(heard: number, sentAfter: number): number {
    const took = heard - this.opened - sentAfter;
    this.best = Math.min(took, this.best + (heard - this.at) / 1000); // two clocks do not go alike: by a thousandth at most
    this.at = heard;
    return took - this.best;
  }
}

/** Drawn is one event that is on the screen, all in milliseconds. */
export interface Drawn {
  at: number; // when
  late: number; // on its way
  work: number; // of this browser
  since: number; // the one before
}

/** Pacer finds the pace that a browser and its connection keep up with. */
export class Pacer {
  /** why it is slower than it could be, or was last. */
  why: Why = "connection";
  private step = 0;
  private bad = 0;
  private badAt = -Infinity;
  private calmSince: number | null = null;
  private restless = 0; // events in a row, since then, that were too much for a quicker pace
  private fits = 0; // the step that would have been kept since then
  private rest = rest;
  private quickened = -Infinity;

  /** every is how far apart events should be; 0: as they come. */
  get every(): number {
    return paces[this.step] as number;
  }

  /** fresh: the connection is a new one, and what was measured of it counts no more. */
  fresh(): void {
    this.bad = 0;
    this.badAt = -Infinity;
    this.calmSince = null;
  }

  /** drew takes in an event. It says whether the pace is another now. */
  drew(e: Drawn): boolean {
    const pause = this.every || second;
    const busy = e.work / Math.max(e.since, 1) > most;
    if (busy || e.late > Math.max(lateBy, pause)) return this.struck(e, busy ? "browser" : "connection", pause);
    this.bad = 0;
    return this.kept(e);
  }

  private struck(e: Drawn, why: Why, pause: number): boolean {
    this.calmSince = null;
    // After a standstill many come at once: that is one sign, not many.
    if (e.at - this.badAt < 0.8 * pause) return false;
    this.badAt = e.at;
    if (++this.bad < strikes || this.step === paces.length - 1) return false;
    do this.step++;
    while (why === "browser" && this.step < paces.length - 1 && e.work / this.every > most);
    this.rest = e.at - this.quickened < tried ? Math.min(mostRest, 2 * this.rest) : rest;
    this.why = why;
    this.fresh();
    return true;
  }

  private kept(e: Drawn): boolean {
    const fits = paces.findIndex((p) => e.work <= calm * (p || second) && e.late <= (p || second) / 2);
    if (fits < 0 || fits >= this.step) {
      if (++this.restless > 1) this.calmSince = null; // one is no habit
      return false;
    }
    this.restless = 0;
    this.fits = this.calmSince === null ? fits : Math.max(this.fits, fits);
    this.calmSince ??= e.at;
    if (e.at - this.calmSince < this.rest) return false;
    this.step = this.fits;
    this.quickened = e.at;
    this.fresh();
    return true;
  }
}
