// The lines of a row, as numbers in one block. Most rows are on no screen: what they would draw is put together when somebody asks.
import type { Row, SparkData, Values } from "./contract";

const lines = ["rate", "error_ratio", "latency", "answering"] as const;
const [errors, answering] = [1, 3]; // of the lines

/**
 * Past is the lines of one row, of all steps that are known. It changes in place: made anew at each step, those of two thousand rows would be megabytes that the
 * browser has to collect while it draws.
 */
export class Past {
  readonly step: number;
  private t0: number;
  private readonly n: number; // points of each line
  private readonly values: Float64Array; // one line after the other; NaN: not known
  private drawn: SparkData | null = null;
  private highest: number | null = null;

  constructor(s: SparkData) {
    this.t0 = s.t0;
    this.step = s.step;
    this.n = s.rate.length;
    this.values = new Float64Array(lines.length * this.n).fill(NaN);
    lines.forEach((name, l) => s[name].slice(0, this.n).forEach((v, i) => (this.values[l * this.n + i] = v ?? NaN)));
  }

  /** take replaces the last points by others, a step further on or not; what is of another time changes nothing. */
  take(tip: SparkData): void {
    const by = (tip.t0 - this.t0) / this.step;
    const end = tip.rate.length;
    if ((by !== 0 && by !== 1) || tip.step !== this.step || this.n < end || end === 0) return;
    if (by === 1) this.values.copyWithin(0, 1); // the last point of each line is now the next one's first, until the tip is put there
    lines.forEach((name, l) => tip[name].slice(0, end).forEach((v, i) => (this.values[(l + 1) * this.n - end + i] = v ?? NaN)));
    this.t0 = tip.t0;
    this.drawn = this.highest = null;
  }

  /** still is all lines: the same object until the next step. */
  get still(): SparkData {
    if (this.drawn) return this.drawn;
    const [rate, error_ratio, latency, answers] = lines.map((_, l) => Array.from(this.values.subarray(l * this.n, (l + 1) * this.n), orNull)) as [Values, Values, Values, Values];
    return (this.drawn = { t0: this.t0, step: this.step, rate, error_ratio, latency, answering: answers });
  }

  /** now is the lines of a row whose figures are of a moment. given: the lines came whole with the row. */
  now(row: Row, asOf: number, given: boolean): SparkData {
    // Figures from after the last point's span would make it lie; then the next whole spark brings the point they belong to.
    // A spark that comes whole after its last step is over needs no help.
    return this.n > 0 && asOf < this.t0 + (given ? this.n : this.n + 1) * this.step ? new LiveSpark(this.still, row) : this.still;
  }

  /** topErrors is the highest error ratio, or -Infinity. */
  get topErrors(): number {
    if (this.highest != null) return this.highest;
    let top = -Infinity;
    for (let i = errors * this.n; i < (errors + 1) * this.n; i++) if ((this.values[i] as number) > top) top = this.values[i] as number;
    return (this.highest = top);
  }

  /** begins is since when something is known, in Unix milliseconds; Infinity: nothing is. */
  get begins(): number {
    for (let i = 0; i < this.n; i++) if (!Number.isNaN(this.values[answering * this.n + i])) return this.t0 + i * this.step;
    return Infinity;
  }
}

/** orNull is a number, or null where it is not known. */
export const orNull = (x: number | undefined): number | null => (x === undefined || Number.isNaN(x) ? null : x);

type Figures = Pick<Row, "rate" | "error_ratio" | "latency" | "answering">;

const put = (v: Values, x: number | null): Values => {
  const out = v.slice();
  out[out.length - 1] = x;
  return out;
};

/**
 * LiveSpark is a spark whose last point is of a step that is not over: the row's figures take its place, so that half a step's sum is not drawn as a fall. All but
 * that point stay the same arrays (still) until the step is over.
 */
export class LiveSpark implements SparkData {
  readonly t0: number;
  readonly step: number;
  private lines: [Values?, Values?, Values?, Values?] = [];

  constructor(
    readonly still: SparkData,
    private readonly now: Figures,
  ) {
    this.t0 = still.t0;
    this.step = still.step;
  }

  get rate(): Values {
    return (this.lines[0] ??= put(this.still.rate, this.now.rate));
  }
  get error_ratio(): Values {
    return (this.lines[1] ??= put(this.still.error_ratio, this.now.error_ratio));
  }
  get latency(): Values {
    return (this.lines[2] ??= put(this.still.latency, this.now.latency?.est ?? null));
  }
  get answering(): Values {
    return (this.lines[3] ??= put(this.still.answering, this.now.answering));
  }
}

/** stillOf is a spark without what moves each second: the same object until its step is over. */
export const stillOf = (s: SparkData): SparkData => (s instanceof LiveSpark ? s.still : s);
