// A service as a card when it is in trouble, as a line when it is calm: the same three lines in the same places.
import { useMemo } from "preact/hooks";
import type { Level, Row, Values } from "../api/contract";
import { stillOf } from "../api/past";
import { bandOf, before, highest, norm, troubled, usualTo, type Norm, type Scale, type Signal, type Trouble } from "../draw/scale";
import { Spark, type Span } from "../draw/spark";
import { span as length } from "../say/time";
import { useHref } from "../state/app";
import { servicePath } from "../state/route";
import { memo } from "./memo";
import { figures, latencyName, useCursorIndex } from "./signals";

interface Drawn {
  key: Signal;
  name: string;
  values: Values;
  still: Values;
  scale: Scale;
  usual: Scale | null;
}

function useDrawn(r: Row, errorMax: number, troubles: readonly Trouble[]): Drawn[] {
  const still = r.spark && stillOf(r.spark);
  // What is usual changes a step at a time, the figures each second.
  const usual = useMemo(() => {
    if (!still) return null;
    const of = (v: Values): { top: number; usual: Norm; quiet: Norm } => {
      const quiet = norm(before(v, still.t0, still.step, troubles));
      return { top: highest(v), usual: quiet.n > 0 ? quiet : norm(v), quiet };
    };
    return { rate: of(still.rate), errors: of(still.error_ratio), latency: of(still.latency) };
  }, [still, troubles]);
  return useMemo(() => {
    const s = r.spark;
    if (!s || !still || !usual) return [];
    const top = (was: number, now: number | null | undefined): number => Math.max(was, now ?? -Infinity);
    const rate = usualTo(top(usual.rate.top, s.rate.at(-1)), usual.rate.usual);
    const latency = usualTo(top(usual.latency.top, s.latency.at(-1)), usual.latency.usual);
    const errors = { lo: 0, hi: errorMax };
    return [
      { key: "rate", name: "rate", values: s.rate, still: still.rate, scale: rate, usual: bandOf(usual.rate.quiet, rate) },
      { key: "error_ratio", name: "errors", values: s.error_ratio, still: still.error_ratio, scale: errors, usual: bandOf(usual.errors.quiet, errors) },
      { key: "latency", name: latencyName(r), values: s.latency, still: still.latency, scale: latency, usual: bandOf(usual.latency.quiet, latency) },
    ];
  }, [r.spark, usual, r.latency?.name, errorMax]);
}

interface Props {
  r: Row;
  span: Span;
  /** errorMax is the top of the errors' axis, one for all that stand together. */
  errorMax: number;
  /** troubles are when something was wrong with it. */
  troubles: readonly Trouble[];
}

export const ServiceCard = memo(function ServiceCard({
  r,
  span,
  errorMax,
  troubles,
  finding,
}: Props & { finding: string | undefined }) {
  const href = useHref();
  const drawn = useDrawn(r, errorMax, troubles);
  const i = useCursorIndex(r);
  const fig = figures(r, i);
  const news = troubled(r);
  const level: Level = r.trouble === 2 ? "bad" : "warn";
  const says: Record<string, string> = { rate: fig.rate, error_ratio: fig.errors, latency: fig.latency };
  return (
    <article class={`card ${level}`} data-testid="service-card" data-service={r.service} data-trouble={r.trouble}>
      <div class="head">
        <h3>
          <span class="sign" role="img" aria-label={level === "bad" ? "Bad:" : "Warning:"}>
            {level === "bad" ? "▲" : "△"}
          </span>
          <a href={href(servicePath(r.service), { env: r.env })} data-in data-item>
            {r.service}
          </a>
        </h3>
        <span class={r.answering < r.expected ? "n missing" : "n"}>{fig.answering}</span>
        {finding && <a href={"#finding-" + finding}>finding ↑</a>}
      </div>
      {(drawn.length ? drawn : noLines).map((d) => (
        <div key={d.key} class={`signal ${news.has(d.key) ? level : ""}`}>
          <span class="name">{d.name}</span>
          <SparkOf d={d} r={r} span={span} level={news.has(d.key) ? level : ""} say={says[d.key] ?? ""} />
          <b class="figure">{says[d.key]}</b>
        </div>
      ))}
      {!finding && !!r.why?.length && <p class="why">{r.why.join(" · ")}</p>}
    </article>
  );
});

const empty: Scale = { lo: 0, hi: 1 };
const noLines: Drawn[] = [
  { key: "rate", name: "rate", values: [], still: [], scale: empty, usual: null },
  { key: "error_ratio", name: "errors", values: [], still: [], scale: empty, usual: null },
  { key: "latency", name: "latency", values: [], still: [], scale: empty, usual: null },
];

function SparkOf({ d, r, span, level, say }: { d: Drawn; r: Row; span: Span; level: Level | ""; say: string }) {
  return (
    <Spark
      label={`${d.name} of ${r.service} over ${length(span.to - span.from)}, now ${say}`}
      values={d.values}
      still={d.still}
      t0={r.spark?.t0 ?? span.from}
      step={r.spark?.step ?? 10_000}
      span={span}
      scale={d.scale}
      usual={d.usual}
      level={level}
    />
  );
}

/** ServiceLine is nothing for one that is gone: what else is drawn with it follows in its turn. */
export function ServiceLine({ r, ...rest }: Omit<Props, "r"> & { r: Row | undefined }) {
  return r ? <Line r={r} {...rest} /> : null;
}

const Line = memo(function Line({ r, span, errorMax, troubles }: Props) {
  const href = useHref();
  const drawn = useDrawn(r, errorMax, troubles);
  const i = useCursorIndex(r);
  const fig = figures(r, i);
  // All calm ones in one unit: the line shows the share, the figure how many it is.
  const says = [fig.rate, fig.perSecond, fig.latency];
  const names = ["rate", "errors", "latency"];
  return (
    <div class="line" role="row" data-testid="service-row" data-service={r.service} data-trouble={r.trouble}>
      <span role="rowheader" class="service">
        <a href={href(servicePath(r.service), { env: r.env })} data-in data-item>
          {r.service}
        </a>
      </span>
      <span role="cell" class={r.answering < r.expected ? "n missing" : "n"}>
        {fig.answering}
      </span>
      {(drawn.length ? drawn : noLines).map((d, j) => (
        <span key={d.key} role="cell" class={`cell ${names[j]}`}>
          <SparkOf d={d} r={r} span={span} level="" say={says[j] ?? ""} />
          <span class="figure">{says[j]}</span>
        </span>
      ))}
    </div>
  );
});

/** LineHeads names the columns of the lines beneath. */
export function LineHeads({ errors }: { errors: string }) {
  return (
    <div class="line heads" role="row">
      <span role="columnheader" class="service">
        Service
      </span>
      <span role="columnheader" class="n">
        Answering
      </span>
      <span role="columnheader" class="cell rate">
        Requests
      </span>
      <span role="columnheader" class="cell errors">
        Errors, {errors}
      </span>
      <span role="columnheader" class="cell latency">
        Latency
      </span>
    </div>
  );
}
