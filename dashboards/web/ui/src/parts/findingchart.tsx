// What a finding looks like on the first page: the line of its service, or, of a place, those of the services that are worst off there.
import { about, rowKey, type Finding, type Row, type Values } from "../api/contract";
import { indexAt } from "../draw/path";
import { band, before, countScale, errorScale, norm, usualScale, type Scale, type Signal, type Trouble } from "../draw/scale";
import { Spark } from "../draw/spark";
import { axisText, count, milliseconds, percent, rate } from "../say/number";
import { at, clock, span as length } from "../say/time";
import { useApp, useHref, useZone } from "../state/app";
import { findingPath, servicePath } from "../state/route";
import { useStore } from "../state/store";
import { latencyName, useSpan } from "./signals";

interface Shape {
  name: string;
  values: Values;
  scale: Scale;
  usual: Values;
  say: (v: number | null | undefined) => string;
}

function shape(row: Row, signal: Signal, troubles: readonly Trouble[]): Shape {
  const s = row.spark!;
  const usual = before(s[signal], s.t0, s.step, troubles);
  const values = s[signal];
  switch (signal) {
    case "error_ratio":
      return { name: "errors", values, usual, scale: errorScale([values]), say: percent };
    case "latency":
      return { name: latencyName(row), values, usual, scale: usualScale(values, usual), say: milliseconds };
    case "rate":
      return { name: "requests", values, usual, scale: usualScale(values, usual), say: rate };
    case "answering":
      return { name: "answering", values, usual, scale: countScale(values, row.expected), say: count };
  }
}

const rangeOf = (c: Shape): string => `${c.name}, ${c.say(c.scale.lo).replace(/[ /].*/, "")}…${axisText(c.say(c.scale.hi))}`;

interface ChartProps {
  f: Finding;
  row: Row;
  signal: Signal;
  troubles: readonly Trouble[];
  low?: boolean;
}

export function FindingChart({ f, row, signal, troubles, low = false }: ChartProps) {
  const { cursor } = useApp();
  const s = row.spark!;
  const span = useSpan(s.step);
  const zone = useZone();
  const t = useStore(cursor);
  const c = shape(row, signal, [...troubles, [f.since, Infinity]]);
  const short = span.to - span.from < 600_000;
  const i = t == null ? -1 : indexAt(t, s.t0, s.step, c.values.length);
  return (
    <figure class="chart" data-testid="finding-chart">
      <Spark
        label={`${rangeOf(c)} over ${length(span.to - span.from)}, now ${c.say(c.values.at(-1))}`}
        class="wide"
        height={low ? 44 : 90}
        level={f.level}
        values={c.values}
        t0={s.t0}
        step={s.step}
        span={span}
        scale={c.scale}
        usual={signal === "answering" ? null : band(c.usual, c.scale)}
        marks={[...new Set([f.since, ...(f.events ?? []).map((e) => e.t)])]}
      />
      <figcaption class="axis">
        <span>{clock(span.from, zone, span.from, short)}</span>
        <span class={i >= 0 ? "at" : ""}>{i >= 0 && t != null ? `${c.name} ${c.say(c.values[i])} at ${clock(t, zone, span.to)}` : rangeOf(c)}</span>
        <span>{at(span.to, zone, span.to, short)}</span>
      </figcaption>
    </figure>
  );
}

/** worse is how much worse off than usual a service is now: what those of a place are ordered by. */
function worse(row: Row, signal: Signal, c: Shape): number {
  const last = c.values.at(-1) ?? c.values.at(-2) ?? 0;
  const was = norm(c.usual).mid || 0;
  if (signal === "answering") return row.expected - row.answering;
  if (signal === "error_ratio") return last - was;
  return was > 0 ? (signal === "rate" ? was / Math.max(last, was / 1000) : last / was) : 0;
}

const mostOfPlace = 4;

const words: Record<Signal, string> = { error_ratio: "errors", latency: "latency", rate: "requests", answering: "answering" };

/** PlaceCharts shows the services that a place has in common, each by its name, those that are worst off first. */
export function PlaceCharts({ f, signal }: { f: Finding; signal: Signal }) {
  const { stream, cursor } = useApp();
  const { rows } = useStore(stream.known);
  const t = useStore(cursor);
  const span = useSpan();
  const zone = useZone();
  const href = useHref();
  const all = about(f)
    .map((service) => rows.get(rowKey({ service, env: f.env })))
    .filter((r): r is Row => !!r?.spark)
    .map((row) => ({ row, c: shape(row, signal, [[f.since, Infinity]]) }))
    .sort((a, b) => worse(b.row, signal, b.c) - worse(a.row, signal, a.c));
  if (all.length === 0) return null;
  const shown = all.slice(0, mostOfPlace);
  const rest = about(f).length - shown.length;
  // One scale for all that is compared: of errors a share is a share.
  const errors = errorScale(shown.map((x) => x.c.values));
  const short = span.to - span.from < 600_000;
  return (
    <figure class="chart place" data-testid="place-charts">
      {shown.map(({ row, c }) => {
        const s = row.spark!;
        const i = t == null ? -1 : indexAt(t, s.t0, s.step, c.values.length);
        const scale = signal === "error_ratio" ? errors : c.scale;
        const says = i >= 0 ? c.say(c.values[i]) : signal === "answering" ? `${count(row.answering)} of ${count(row.expected)}` : c.say(c.values.at(-1) ?? c.values.at(-2));
        return (
          <div key={row.service} class="of">
            <a href={href(servicePath(row.service), { env: row.env })} data-in>
              {row.service}
            </a>
            <Spark
              label={`${c.name} of ${row.service} over ${length(span.to - span.from)}, now ${says}`}
              level={f.level}
              values={c.values}
              t0={s.t0}
              step={s.step}
              span={span}
              scale={scale}
              usual={signal === "answering" ? null : band(c.usual, scale)}
              marks={[f.since]}
            />
            <b class="figure">{says}</b>
          </div>
        );
      })}
      <figcaption class="axis">
        <span>
          {words[signal]}
          {signal === "error_ratio" && ` 0…${axisText(percent(errors.hi))}`} of all their instances
          {rest > 0 && (
            <>
              {" · "}
              <a href={href(findingPath(f.id), { env: f.env })} data-in>
                {rest} more
              </a>
            </>
          )}
        </span>
        <span>
          {clock(span.from, zone, span.from, short)}…{at(span.to, zone, span.to, short)}
        </span>
      </figcaption>
    </figure>
  );
}
