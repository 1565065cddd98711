// Scales that let the eye compare services without reading, and that do not make news of noise.
import type { Finding, Row, Values } from "../api/contract";
import type { Rows } from "../api/rows";

export interface Scale {
  lo: number;
  hi: number;
  whole?: boolean; // of things that are counted: nothing stands between two of them
}

export const finite = (v: Values): number[] => v.filter((x): x is number => x != null && Number.isFinite(x));

/** nice is the least of 1, 2, 5 × 10^n that is not below x. */
export function nice(x: number): number {
  if (!(x > 0)) return 1;
  const p = 10 ** Math.floor(Math.log10(x));
  const m = x / p;
  return (m <= 1.000001 ? 1 : m <= 2.000001 ? 2 : m <= 5.000001 ? 5 : 10) * p;
}

/** roundUp is the least number of two digits that is not below x: 749 becomes 750. */
export function roundUp(x: number): number {
  const p = 10 ** (Math.floor(Math.log10(x)) - 1);
  return Number((Math.ceil(x / p - 1e-9) * p).toPrecision(3));
}

/** quantile of unsorted numbers, q in 0..1; NaN of none. */
export const quantile = (xs: number[], q: number): number => quantileOf([...xs].sort(ascending), q);

const ascending = (a: number, b: number): number => a - b;

function quantileOf(sorted: number[], q: number): number {
  if (sorted.length === 0) return NaN;
  const i = (sorted.length - 1) * q;
  const a = sorted[Math.floor(i)] as number;
  const b = sorted[Math.ceil(i)] as number;
  return a + (b - a) * (i - Math.floor(i));
}

/** Norm is what a line usually is: how many points say so, and where their middle and nearly all of them are. */
export interface Norm {
  n: number;
  lo: number;
  mid: number;
  hi: number;
}

/** norm is worked out of a line without what was wrong. */
export function norm(quiet: Values): Norm {
  const xs = finite(quiet).sort(ascending);
  return { n: xs.length, lo: quantileOf(xs, 0.02), mid: quantileOf(xs, 0.5), hi: quantileOf(xs, 0.98) };
}

/** highest is the largest value of a line that is known, or -Infinity. */
export const highest = (v: Values): number => v.reduce<number>((a, x) => (x != null && Number.isFinite(x) && x > a ? x : a), -Infinity);

/** errorScale goes from 0 to at least 1 %, shared by all that are shown together. */
export function errorScale(lines: Iterable<Values>): Scale {
  let max = 0;
  for (const v of lines) for (const x of v) if (x != null && x > max) max = x;
  return { lo: 0, hi: Math.min(1, nice(Math.max(0.01, max))) };
}

/** errorTop is the top of an axis of errors for services that stand together. */
export function errorTop(rows: Rows, keys: Iterable<string>): number {
  let max = 0;
  for (const key of keys) max = Math.max(max, rows.topErrors(key));
  return errorScale([[max]]).hi;
}

/**
 * usualScale puts what is usual in the middle: from 0 to twice the median, so that a line in the middle is calm in every service, whatever its size. A line
 * that goes higher is given room for. quiet is the line without what was wrong, where anything was.
 */
export function usualScale(v: Values, quiet: Values = early(v)): Scale {
  const calm = norm(quiet);
  return usualTo(highest(v), calm.n > 0 ? calm : norm(v));
}

/** usualTo is the usual scale of a line by its highest value and its norm. */
export function usualTo(top: number, usual: Norm): Scale {
  if (top === -Infinity) return { lo: 0, hi: 1 };
  const hi = Math.max(2 * (Number.isFinite(usual.mid) ? usual.mid : 0), Math.max(0, top) * 1.1);
  return { lo: 0, hi: hi > 0 ? roundUp(hi) : 1 };
}

/** countScale shows who answers: from nine tenths of those expected, or lower where fewer answer. A tenth missing is as deep as it is high. */
export function countScale(v: Values, expected: number): Scale {
  const xs = finite(v);
  const top = xs.reduce((a, b) => Math.max(a, b), Math.max(1, expected));
  const least = xs.reduce((a, b) => Math.min(a, b), top);
  return { lo: Math.max(0, Math.floor(Math.min(least - top * 0.05, top * 0.9))), hi: top * 1.02, whole: true };
}

/** early is the first two thirds of a window: what is usual where nothing was told of. */
const early = (v: Values): Values => v.slice(0, Math.ceil((v.length * 2) / 3));

/** Trouble is when something was wrong: from, to; to is Infinity while it is. */
export type Trouble = readonly [from: number, to: number];

/**
 * before is a line without what it showed while something was wrong, which is not usual, nor is the step beside it. Where nothing was wrong it is the first two
 * thirds: what is new in the rest may not have been told of yet.
 */
export function before(v: Values, t0: number, step: number, troubles: readonly Trouble[]): Values {
  if (troubles.length === 0) return early(v);
  // What ends in trouble began a step earlier than it was told.
  return v.map((x, i) => {
    const at = t0 + i * step;
    return troubles.some(([from, to]) => at + 2 * step > from && at < to + step) ? null : x;
  });
}

/** band is where the line usually is, of a line without what was wrong; null where too little is known to say. It is never thinner than a thirtieth of the scale. */
export const band = (quiet: Values, s: Scale): Scale | null => bandOf(norm(quiet), s);

export function bandOf(usual: Norm, s: Scale): Scale | null {
  if (usual.n < 12) return null;
  const least = (s.hi - s.lo) / 60;
  const lo = Math.min(usual.lo, usual.mid - least);
  const hi = Math.max(usual.hi, usual.mid + least);
  return { lo: Math.max(s.lo, lo), hi: Math.min(s.hi, hi) };
}

/** steps are the round values of a chart's left edge, three to five of them. */
export function ticks(s: Scale): number[] {
  const by = Math.max(nice((s.hi - s.lo) / 4), s.whole ? 1 : 0);
  const out: number[] = [];
  for (let i = Math.ceil(s.lo / by - 1e-9); i * by <= s.hi * (1 + 1e-9); i++) out.push(i * by + 0); // + 0: no minus zero
  return out;
}

/** stepFor is how far apart a chart's points are: some hundreds in the window, on a round step. */
export function stepFor(windowMs: number): number {
  for (const s of [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]) if (windowMs / (s * 1000) <= 450) return s * 1000;
  return 7_200_000;
}

export type Signal = "rate" | "error_ratio" | "latency" | "answering";

/** signals are the lines by the names that the server has for them and for what its findings are about. */
const signals: Readonly<Record<string, Signal>> = {
  rate: "rate",
  errors: "error_ratio",
  exceptions: "error_ratio",
  latency: "latency",
  answering: "answering",
  instances: "answering",
};

/** signalOf is the line that shows best what a finding is about; null where none does. */
export const signalOf = (f: Pick<Finding, "metric" | "service" | "signals">): Signal | null =>
  signals[f.metric] ?? signals[f.signals?.[f.service]?.[0] ?? ""] ?? null;

/** troubled is which of a service's lines are in trouble: the server knows, by what its findings rest on. */
export const troubled = (r: Pick<Row, "signals">): Set<Signal> => new Set((r.signals ?? []).flatMap((name) => signals[name] ?? []));
