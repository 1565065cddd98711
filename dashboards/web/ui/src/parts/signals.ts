// The golden signals of a service in words, now or at the reader's cursor.
import { useMemo } from "preact/hooks";
import type { Row } from "../api/contract";
import type { Rows } from "../api/rows";
import { indexAt } from "../draw/path";
import type { Span } from "../draw/spark";
import { count, errors, interval, milliseconds, rate, unknown } from "../say/number";
import { useApp, useNow } from "../state/app";
import { useStore } from "../state/store";

const lengths = [2, 3, 5, 10, 15].map((minutes) => minutes * 60_000);
const longest = 15 * 60_000;

/** beginOf is the first of some times; before enough it does not matter by how much. Infinity: there is none. */
function beginOf(all: Iterable<number>, enough: number): number {
  let begins = Infinity;
  for (const t of all) {
    begins = Math.min(begins, t);
    if (begins < enough) break;
  }
  return begins;
}

const enough = (now: number): number => now - (lengths.at(-2) as number);

const lengthOf = (begins: number, now: number): number => (begins === Infinity ? longest : (lengths.find((l) => l >= now - begins) ?? longest));

const begun = new WeakMap<object, number>();

/**
 * shownOf is the length of every chart of a page: 15 minutes, or less while nobody has been known for so long. One length for all: the eye compares only what has
 * one length. Many ask of what is known, and all rows are looked at once for all of them.
 */
export function shownOf(known: { rows: Pick<Rows, "begins"> }, now: number): number {
  let from = begun.get(known);
  if (from === undefined) begun.set(known, (from = beginOf(known.rows.begins(), enough(now))));
  return lengthOf(from, now);
}

export function useShown(): number {
  const { stream, clock } = useApp();
  // By the clock, not by the newest data: what is known stays in view while nothing comes.
  return useStore(stream.known, (known) => shownOf(known, clock.now()));
}

/** useSpan is the shared window. It moves a step at a time, so that lines are drawn again only when they have moved. */
export function useSpan(step = 10_000): Span {
  const to = useNow(step);
  const length = useShown();
  return useMemo(() => ({ from: to - length, to }), [to, length]);
}

export interface Figures {
  rate: string;
  errors: string; // a share, or a rate where the share is too small to read
  perSecond: string; // errors, always a rate
  latency: string;
  answering: string;
}

const times = (a: number | null | undefined, b: number | null | undefined): number | null => (a == null || b == null ? null : a * b);

/** figures is what the row says at point i of its spark; i < 0: now. */
export function figures(r: Row, i: number): Figures {
  const s = r.spark;
  if (i < 0 || !s)
    return {
      rate: rate(r.rate),
      errors: errors(r.error_ratio, r.rate, r.errors),
      perSecond: rate(r.errors ?? times(r.error_ratio, r.rate)),
      latency: interval(r.latency),
      answering: `${count(r.answering)} of ${count(r.expected)}`,
    };
  const n = s.answering[i];
  return {
    rate: rate(s.rate[i]),
    errors: errors(s.error_ratio[i], s.rate[i]),
    perSecond: rate(times(s.error_ratio[i], s.rate[i])),
    latency: milliseconds(s.latency[i]),
    answering: n == null ? unknown : `${count(n)} answering`,
  };
}

/** useCursorIndex is the spark's point under the reader's cursor, -1 without one. */
export function useCursorIndex(r: Row): number {
  const s = r.spark;
  return useStore(useApp().cursor, (t) => (t == null || !s ? -1 : indexAt(t, s.t0, s.step, s.rate.length)));
}

export const latencyName = (r: Row): string => r.latency?.name || "latency";
