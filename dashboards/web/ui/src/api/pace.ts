// How often a browser is told, by what it bears. Pure: it is told of times and keeps none itself.

/** paces are how far apart events may be, in milliseconds; 0: as they come. */
export const paces: readonly number[] = [0, 2000, 5000, 10_000];

const lateBy = 2000; // so much later than its best an event may be drawn
const most = 0.6; // of its time that a page may spend on events
const strikes = 3; // events in a row
const calm = 0.25; // of the time, at the pace that it had before: then it is taken up again
const rest = 60_000; // after so long

/** Pacer finds the pace that a browser keeps up with. */
export class Pacer {
  private at = 0;
  private best = Infinity;
  private bad = 0;
  private calmSince = 0;

  /** every is how far apart events should be; 0: as they come. */
  get every(): number {
    return paces[this.at] as number;
  }

  /** fresh: the connection is a new one, and what was measured of it counts no more. */
  fresh(): void {
    this.best = Infinity;
    this.bad = 0;
    this.calmSince = 0;
  }

  /** drew takes in that an event was drawn at a time, how late after its as_of, with how much work, so long after the one before it. It says whether the pace is another now. */
  drew(at: number, late: number, work: number, since: number): boolean {
    this.best = Math.min(this.best, late);
    const share = work / Math.max(since, 1);
    if (late - this.best > lateBy || share > most) {
      this.calmSince = 0;
      if (++this.bad < strikes || this.at === paces.length - 1) return false;
      this.at++;
      this.bad = 0;
      return true;
    }
    this.bad = 0;
    if (this.at === 0) return false;
    // At a quicker pace the same work would come so much more often; as they come is once a second.
    const before = paces[this.at - 1] || 1000;
    if (work / before > calm) this.calmSince = 0;
    else this.calmSince ||= at;
    if (!this.calmSince || at - this.calmSince < rest) return false;
    this.at--;
    this.calmSince = 0;
    return true;
  }
}
