// Metrics as an address names them, and their lines as a chart wants them.
import type { Metric, SeriesAnswer } from "../api/answers";
import type { Values } from "../api/contract";
import type { ChartLine } from "../draw/chart";
import { finite, nice, type Scale } from "../draw/scale";
import { parseWindow, span } from "../say/time";
import type { Query } from "../state/route";

export interface MetricRef {
  metric: string;
  field: string;
}

/** A metric in an address: its name, and a distribution's field behind a tilde. */
export const refText = (m: MetricRef): string => (m.field ? `${m.metric}~${m.field}` : m.metric);

export function parseRef(s: string): MetricRef {
  const i = s.lastIndexOf("~");
  return i > 0 ? { metric: s.slice(0, i), field: s.slice(i + 1) } : { metric: s, field: "" };
}

/** refs is what can be charted: a distribution's fields one by one. */
export const refs = (metrics: readonly Metric[]): (MetricRef & { m: Metric })[] =>
  metrics.flatMap((m) => (m.fields?.length ? m.fields.map((field) => ({ metric: m.name, field, m })) : [{ metric: m.name, field: "", m }]));

/** A list in one query value: commas between, and only they and the sign of an escape are escaped within, so that an address is read as it is. */
export const packed = (all: string[]): string => all.map((x) => x.replace(/%/g, "%25").replace(/,/g, "%2C")).join(",");
export const unpacked = (s: string | undefined): string[] =>
  (s ?? "")
    .split(",")
    .filter(Boolean)
    .map((x) => {
      try {
        return decodeURIComponent(x);
      } catch {
        return x;
      }
    });

/** fromZero is the scale of any metric: from 0, so that noise stays small, and below it only where values are. */
export function fromZero(lines: ChartLine[]): Scale {
  let lo = 0;
  let hi = 0;
  for (const l of lines)
    for (const v of [l.values, l.hi ?? [], l.lo ?? []])
      for (const x of finite(v)) {
        if (x < lo) lo = x;
        if (x > hi) hi = x;
      }
  if (lo === 0 && hi === 0) return { lo: 0, hi: 1 };
  const by = nice((hi - lo) / 8);
  return { lo: Math.floor(lo / by) * by, hi: Math.ceil((hi * 1.04) / by) * by };
}

/** whole is an answer's lines without a last step that is not over yet: half a step's sum is no fall. */
export function whole(a: Pick<SeriesAnswer, "as_of" | "t0" | "step" | "series">): ChartLine[] {
  const n = Math.max(0, Math.floor((a.as_of - a.t0) / a.step));
  const cut = (v: Values): Values => (v.length > n ? v.slice(0, n) : v);
  return (a.series ?? []).map((l) => ({ name: l.name, values: cut(l.values), lo: l.lo && cut(l.lo), hi: l.hi && cut(l.hi) }));
}

/** narrowed adds a condition NAME=VALUE; one that is there already goes. */
export const narrowed = (where: readonly string[], one: string): string[] => (where.includes(one) ? where.filter((w) => w !== one) : [...where, one]);

/** Beside is what a chart is compared with: another time, or another cohort. */
export interface Beside {
  name: string;
  shiftMs: number; // how much earlier
  where: string[];
}

/** besideOf reads it out of an address: "before" is as long a time just before, 1h and 1d are that much earlier, NAME=VALUE is a cohort; null is nothing. */
export function besideOf(text: string | undefined, where: readonly string[], length: number): Beside | null {
  if (!text) return null;
  if (text === "before") return { name: "before", shiftMs: length, where: [...where] };
  const ms = parseWindow(text);
  if (ms) return { name: `${span(ms)} earlier`, shiftMs: ms, where: [...where] };
  const at = text.indexOf("=");
  if (at <= 0) return null;
  const name = text.slice(0, at + 1);
  return { name: text, shiftMs: 0, where: [...where.filter((w) => !w.startsWith(name)), text] };
}

/** resampled is a line on other steps: each takes what held at its time. */
export function resampled(values: Values, t0: number, step: number, to: { t0: number; step: number; n: number }): Values {
  if (t0 === to.t0 && step === to.step && values.length === to.n) return values;
  return Array.from({ length: to.n }, (_, i) => values[Math.floor((to.t0 + i * to.step - t0) / step)] ?? null);
}

export interface Window {
  /** length of a window that ends now; 0 when it is fixed. */
  ms: number;
  from: number;
  to: number;
}

/** windowOf reads the window out of an address: from and to in milliseconds, or a length that ends now; otherwise is the length where it names none. */
export function windowOf(q: Query, otherwise: number): Window {
  const from = Number(q.from);
  const to = Number(q.to);
  if (q.from && q.to && Number.isFinite(from) && Number.isFinite(to) && to > from) return { ms: 0, from, to };
  return { ms: parseWindow(q.w ?? "") ?? otherwise, from: 0, to: 0 };
}
