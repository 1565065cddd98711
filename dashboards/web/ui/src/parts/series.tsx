// One metric's chart, asked for again and again while it is looked at.
import { useMemo } from "preact/hooks";
import type { Mark, SeriesAnswer } from "../api/contract";
import { getSeries } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Chart, type ChartLine } from "../draw/chart";
import { stepFor } from "../draw/scale";
import { span as length } from "../say/time";
import { sayer, type Say } from "../say/unit";
import { useApp, useNow } from "../state/app";
import { fromZero, refText, whole, type MetricRef, type Window } from "./metric";

/** overs says what a chart's numbers are of its instances, where "<agg> of" would read badly. */
const overs = new Map([
  ["percentile", "estimated over"],
  ["as reported", "from least to most, as reported by"],
]);

export interface Shown {
  answer: SeriesAnswer | null;
  lines: ChartLine[];
  say: Say;
}

interface Props extends MetricRef {
  service: string;
  env: string;
  by: string;
  window: Window;
  height?: number;
  title?: preact.ComponentChildren;
  actions?: preact.ComponentChildren;
  extraMarks?: Mark[];
  onBrush?: (from: number, to: number) => void;
  below?: (s: Shown) => preact.ComponentChildren;
}

export function SeriesChart({ service, env, metric, field, by, window: w, height, title, actions, extraMarks, onBrush, below }: Props) {
  const { clock } = useApp();
  const live = w.ms > 0;
  const step = stepFor(live ? w.ms : w.to - w.from);
  useNow(Math.max(1000, Math.min(step, 10_000))); // a live window moves on, data or none
  const edge = Math.floor(clock.now() / step) * step;
  const span = live ? { from: edge - w.ms, to: edge } : { from: w.from, to: w.to };
  const key = JSON.stringify([service, env, metric, field, by, live ? w.ms : [w.from, w.to]]);
  const polled = usePoll(key, live ? Math.max(1000, Math.min(step / 2, 5000)) : 0, (signal) => {
    const to = live ? clock.now() : w.to;
    return getSeries({ service, env, metric, field, by, from: live ? to - w.ms - step : w.from, to, step }, signal);
  });
  const a = polled.data;
  const lines = useMemo(() => (a ? whole(a) : []), [a]);
  const say = sayer({ metric, field, unit: a?.unit ?? "", kind: a?.kind });
  const late = a && live ? clock.now() - a.as_of : 0;
  return (
    <>
      <Chart
        name={refText({ metric, field })}
        title={
          title ?? (
            <>
              {metric}
              {field && <span class="dim"> {field}</span>}
            </>
          )
        }
        lines={lines}
        t0={a?.t0 ?? span.from}
        step={a?.step ?? step}
        span={span}
        scale={fromZero(lines)}
        say={say}
        height={height}
        marks={[...(a?.events ?? []), ...(extraMarks ?? [])]}
        onBrush={onBrush}
        actions={actions}
        note={
          polled.error ? (
            <span class="warn" role="status">
              △ {polled.error.message}
            </span>
          ) : (
            a && [a.agg && (overs.get(a.agg) ?? `${a.agg} of`), a.of, late > 10_000 && `as of ${length(late)} ago`].filter(Boolean).join(" ")
          )
        }
      />
      {below?.({ answer: a, lines, say })}
    </>
  );
}
