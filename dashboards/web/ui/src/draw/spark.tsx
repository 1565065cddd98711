// A small line over the window that all of them share: SVG, so that it needs no script to change its size or its colours.
import { useMemo } from "preact/hooks";
import type { Level, Values } from "../api/contract";
import { useApp } from "../state/app";
import { useStore } from "../state/store";
import { lastKnown, linePath, xOf, yOf, type Frame } from "./path";
import type { Scale } from "./scale";

const width = 300;

/** Span is the time that charts show. */
export interface Span {
  from: number;
  to: number;
}

interface Props {
  label: string; // what it shows, for those who do not see it
  values: Values;
  /** still is values without what moves each second, their last point: the same array until there is one more. */
  still?: Values;
  t0: number;
  step: number;
  span: Span;
  scale: Scale;
  usual?: Scale | null;
  level?: Level | "";
  marks?: number[];
  height?: number;
  class?: string;
}

export function Spark({ label, values, still = values, t0, step, span, scale, usual, level = "", marks = [], height = 24, ...rest }: Props) {
  const { cursor } = useApp();
  const frame: Frame = { ...span, width, height };
  // All but the last point is drawn once a step, the rest each second: most of a line stands still.
  const line = useMemo(() => linePath(still.slice(0, -1), t0, step, scale, frame), [still, t0, span.from, span.to, scale.lo, scale.hi, height]);
  const end = Math.max(0, values.length - 2);
  const newest = linePath(values.slice(end), t0 + end * step, step, scale, frame);
  const last = lastKnown(values);
  const tipAt = t0 + last * step;
  const tip = last >= 0 ? `M${xOf(tipAt, frame)} ${yOf(values[last] as number, scale, frame)}h.01` : "";
  // From the last known point on nothing is drawn but a dotted ground line: "we do not know", not "it stands still".
  // What was never known (a service that counts no errors) is no silence.
  const silent = last >= 0 && span.to - tipAt > 2.5 * step ? Math.max(0, xOf(tipAt, frame)) : null;
  const point = (e: PointerEvent): void => {
    const box = (e.currentTarget as Element).getBoundingClientRect();
    if (box.width > 0) cursor.set(Math.round((span.from + ((e.clientX - box.left) / box.width) * (span.to - span.from)) / step) * step);
  };
  return (
    <svg
      class={`spark ${level} ${rest.class ?? ""}`}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      data-points={values.reduce<number>((n, v) => n + (v == null ? 0 : 1), 0)}
      onPointerMove={point}
      onPointerLeave={() => cursor.set(null)}
    >
      {usual && (
        <rect
          class="usual"
          x={0}
          width={width}
          y={yOf(usual.hi, scale, frame)}
          height={Math.max(1, yOf(usual.lo, scale, frame) - yOf(usual.hi, scale, frame))}
        />
      )}
      {silent != null && <path class="silence" d={`M${silent} ${height - 0.5}H${width}`} />}
      {marks
        .filter((t) => t >= span.from && t <= span.to)
        .map((t) => (
          <path key={t} class="mark" d={`M${xOf(t, frame)} 0V${height}`} />
        ))}
      <path class="line" d={line} />
      <path class="line" d={newest} />
      {level && last >= 0 && silent == null && <path class="tip" d={tip} />}
      <Cursor frame={frame} />
    </svg>
  );
}

function Cursor({ frame }: { frame: Frame }) {
  const t = useStore(useApp().cursor);
  if (t == null || t < frame.from || t > frame.to) return null;
  return <path class="cursor" d={`M${xOf(t, frame)} 0V${frame.height}`} />;
}
