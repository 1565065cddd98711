// The lines of a row between two whole sparks. Most rows are on no screen: what they would draw is put together when somebody asks.
import type { Row, SparkData, Values } from "./contract";

const put = (v: Values, x: number | null): Values => {
  const out = v.slice();
  out[out.length - 1] = x;
  return out;
};

type Figures = Pick<Row, "rate" | "error_ratio" | "latency" | "answering">;

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

/** withTip is a spark whose last points are others, a step further on or not; null where it is of another time. */
export function withTip(s: SparkData, tip: SparkData): SparkData | null {
  const by = (tip.t0 - s.t0) / s.step;
  const n = tip.rate.length;
  if ((by !== 0 && by !== 1) || tip.step !== s.step || s.rate.length < n) return null;
  const on = (was: Values, end: Values): Values => [...was.slice(by, was.length - n + by), ...end];
  return {
    t0: tip.t0,
    step: s.step,
    rate: on(s.rate, tip.rate),
    error_ratio: on(s.error_ratio, tip.error_ratio),
    latency: on(s.latency, tip.latency),
    answering: on(s.answering, tip.answering),
  };
}

/** drawnWith gives a row the spark that it is drawn with. given: the spark came whole with the row. */
function drawnWith(row: Row, s: SparkData, asOf: number, given: boolean): Row {
  const n = s.rate.length;
  // Figures from after the last point's span would make it lie; then the next whole spark brings the point they belong to.
  // A spark that comes whole after its last step is over needs no help.
  row.spark = n > 0 && asOf < s.t0 + (given ? n : n + 1) * s.step ? new LiveSpark(s, row) : s;
  return row;
}

/** withSpark gives a row that came with figures only, or with the end of its spark, the spark that it had. */
export function withSpark(was: Row | undefined, r: Row, asOf: number): Row {
  const row: Row = { ...r };
  if (r.tip) delete row.tip;
  const had = was?.spark && stillOf(was.spark);
  const s = r.spark ?? (r.tip && had ? (withTip(had, r.tip) ?? had) : had);
  return s ? drawnWith(row, s, asOf, !!r.spark) : row;
}

/** withFigures is a row of which only the figures are others: rate, errors, error_ratio, and the latency's lo, hi and est, at a place among many. */
export function withFigures(was: Row, f: readonly (number | null)[], at: number, asOf: number): Row {
  const row: Row = { ...was };
  row.rate = f[at] ?? null;
  row.errors = f[at + 1] ?? null;
  row.error_ratio = f[at + 2] ?? null;
  if (was.latency) row.latency = { name: was.latency.name, lo: f[at + 3] ?? null, hi: f[at + 4] ?? null, est: f[at + 5] ?? null };
  return was.spark ? drawnWith(row, stillOf(was.spark), asOf, false) : row;
}
