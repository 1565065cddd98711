// One metric's chart, asked for again and again while it is looked at.
import { useMemo, useRef } from "preact/hooks";
import type { SeriesAnswer } from "../api/answers";
import type { Mark } from "../api/contract";
import { getSeriesOrKept } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Chart, type ChartLine } from "../draw/chart";
import { finite, stepFor } from "../draw/scale";
import { span as length } from "../say/time";
import { sayer, type Say } from "../say/unit";
import { useApp, useNow, useRegion } from "../state/app";
import { Back, Reading } from "./back";
import { useBrushed } from "./brushed";
import { fromZero, refText, resampled, whole, type Beside, type MetricRef, type Window } from "./metric";

/** overs says what a chart's numbers are of its instances, where "<agg> of" would read badly. */
const overs = new Map([
  ["percentile", "estimated over"],
  ["as reported", "from least to most, as reported by"],
]);

export interface Shown {
  answer: SeriesAnswer | null;
  lines: ChartLine[];
  /** beside are the lines that it is compared with, by the names of those that they stand beside. */
  beside: ReadonlyMap<string, ChartLine>;
  say: Say;
}

interface Props extends MetricRef {
  service: string;
  env: string;
  by: string;
  window: Window;
  where?: readonly string[];
  beside?: Beside | null;
  /** self is what a line without a name is called beside another. */
  self?: string;
  height?: number;
  title?: preact.ComponentChildren;
  actions?: preact.ComponentChildren;
  extraMarks?: Mark[];
  onBrush?: (from: number, to: number) => void;
  below?: (s: Shown) => preact.ComponentChildren;
}

const everywhere: readonly string[] = [];

/** inOrder names lines by their highest point, the rest last. Lines keep their places while they are the same ones. */
export function inOrder(lines: readonly ChartLine[], was: readonly string[]): string[] {
  if (lines.length === was.length && lines.every((l) => was.includes(l.name))) return [...was];
  const top = (l: ChartLine): number => Math.max(-Infinity, ...finite(l.values), ...finite(l.hi ?? []));
  const rest = (l: ChartLine): number => Number(l.name === "other");
  return [...lines].sort((x, y) => rest(x) - rest(y) || top(y) - top(x) || (x.name < y.name ? -1 : 1)).map((l) => l.name);
}

export function SeriesChart(props: Props) {
  const { service, env, metric, field, by, window: w, where = everywhere, beside = null, self = "this", height, title, actions, extraMarks, onBrush, below } = props;
  const { clock } = useApp();
  const brushed = useBrushed();
  const region = useRegion();
  const live = w.ms > 0;
  const step = stepFor(live ? w.ms : w.to - w.from);
  useNow(Math.max(1000, Math.min(step, 10_000))); // a live window moves on, data or none
  const edge = Math.floor(clock.now() / step) * step;
  const span = live ? { from: edge - w.ms, to: edge } : { from: w.from, to: w.to };
  const key = JSON.stringify([service, env, region, metric, field, by, where, live ? w.ms : [w.from, w.to]]);
  const every = live ? Math.max(1000, Math.min(step / 2, 5000)) : 0;
  const ask = (signal: AbortSignal, shift: number, conditions: readonly string[]): Promise<SeriesAnswer> => {
    const to = (live ? clock.now() : w.to) - shift;
    const from = live ? to - w.ms - step : w.from - shift;
    return getSeriesOrKept({ service, env, region, metric, field, by, where: conditions, from, to, step }, signal);
  };
  const polled = usePoll(key, every, (signal) => ask(signal, 0, where));
  const other = usePoll(beside ? key + JSON.stringify(beside) : null, every, (signal) => ask(signal, beside?.shiftMs ?? 0, beside?.where ?? where));
  const a = polled.data;
  const b = other.data;
  const places = useRef<string[]>([]);
  const lines = useMemo(() => {
    if (!a) return [];
    const all = whole(a);
    places.current = inOrder(all, places.current);
    return all.sort((x, y) => places.current.indexOf(x.name) - places.current.indexOf(y.name));
  }, [a]);
  const besides = useMemo(() => {
    const out = new Map<string, ChartLine>();
    if (!a || !b || !beside) return out;
    const to = { t0: a.t0, step: a.step, n: lines.reduce((n, l) => Math.max(n, l.values.length), 0) };
    for (const l of whole(b)) out.set(l.name, { name: [l.name, beside.name].filter(Boolean).join(", "), values: resampled(l.values, b.t0 + beside.shiftMs, b.step, to) });
    return out;
  }, [a, b, lines, beside?.name, beside?.shiftMs]);
  const drawn = useMemo(() => {
    if (besides.size === 0) return lines;
    // Bounds beside bounds would hide each other: two lines are compared by what lies between.
    return [...lines.map((l) => ({ name: l.name || self, values: l.values })), ...besides.values()];
  }, [lines, besides]);
  const say = sayer({ metric, field, unit: a?.unit ?? "", kind: a?.kind });
  const late = a && live ? clock.now() - a.as_of : 0;
  const error = polled.error ?? other.error;
  const known = lines.some((l) => l.values.some((v) => v != null) || l.hi?.some((v) => v != null));
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
        lines={drawn}
        t0={a?.t0 ?? span.from}
        step={a?.step ?? step}
        span={span}
        scale={fromZero(drawn)}
        say={say}
        height={height}
        brushed={brushed}
        marks={[...(a?.events ?? []), ...(extraMarks ?? [])]}
        onBrush={onBrush}
        actions={actions}
        note={
          error ? (
            <span class="warn" role="status">
              △ {error.message}
            </span>
          ) : (
            (a && (
              <>
                {[known && a.agg && (overs.get(a.agg) ?? `${a.agg} of`), known && a.of, late > 10_000 && `as of ${length(late)} ago`].filter(Boolean).join(" ")}
                <Back of={a.read_back} />
              </>
            )) ||
            (!live && <Reading />)
          )
        }
      />
      {below?.({ answer: a, lines, beside: besides, say })}
    </>
  );
}
