// SVG path data of lines over time. A value that is not known is a gap.
import type { Values } from "../api/contract";
import type { Scale } from "./scale";

export interface Frame {
  from: number; // milliseconds at the left edge
  to: number; // milliseconds at the right edge
  width: number;
  height: number;
}

const round = (n: number): number => Math.round(n * 10) / 10;

export const xOf = (t: number, f: Frame): number => ((t - f.from) / (f.to - f.from)) * f.width;

export const yOf = (v: number, s: Scale, f: Frame): number => f.height - ((Math.min(s.hi, Math.max(s.lo, v)) - s.lo) / (s.hi - s.lo)) * f.height;

/** linePath draws values that begin at t0, one a step. A value with gaps on both sides becomes a dot. Points outside the frame are left out. */
export function linePath(values: Values, t0: number, step: number, s: Scale, f: Frame): string {
  let d = "";
  let run = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    const t = t0 + i * step;
    if (v == null || t < f.from || t > f.to) {
      if (run === 1) d += "h.01";
      run = 0;
      continue;
    }
    d += `${run === 0 ? "M" : "L"}${round(xOf(t, f))} ${round(yOf(v, s, f))}`;
    run++;
  }
  return run === 1 ? d + "h.01" : d;
}

/** lastKnown is the index of the last value that is known, -1 where none is. */
export function lastKnown(values: Values): number {
  for (let i = values.length - 1; i >= 0; i--) if (values[i] != null) return i;
  return -1;
}

/** indexAt is the point that holds at time t; -1 outside. */
export function indexAt(t: number, t0: number, step: number, n: number): number {
  const i = Math.floor((t - t0) / step + 0.5);
  return i >= 0 && i < n ? i : -1;
}
