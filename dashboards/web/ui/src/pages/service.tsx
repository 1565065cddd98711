// One service: what is wrong with it, its signals, who is there, and every number it says.
import type { ComponentProps } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Burst, Metric, Objective, ServiceAnswer } from "../api/answers";
import { about, quiet, rowKey, type Mark, type Row, type Values } from "../api/contract";
import { Refusal, getEnded, getService } from "../api/fetch";
import { sorted } from "../api/merge";
import { usePoll } from "../api/poll";
import { Chart } from "../draw/chart";
import { band, before, countScale, errorScale, highest, roundUp, troubled, usualScale, type Scale, type Trouble } from "../draw/scale";
import { useBrushed } from "../parts/brushed";
import { Canary } from "../parts/canary";
import { Different } from "../parts/different";
import { EndedFinding, FindingCard } from "../parts/finding";
import { link } from "../parts/leads";
import { Instances } from "../parts/instances";
import { Metrics } from "../parts/metrics";
import { latencyName, useSpan } from "../parts/signals";
import { useTrust } from "../parts/strip";
import { Thrown } from "../parts/thrown";
import { InTurns } from "../parts/turns";
import { isCanary } from "../say/finding";
import { absent, count, errors, interval, milliseconds, percent, plural, rate } from "../say/number";
import { at, clock, span as length } from "../say/time";
import { useApp, useEnv, useHref, useNow, useRegion, useRoute, useZone } from "../state/app";
import { useStore } from "../state/store";
import { troubles } from "./now";

export function Service() {
  const { stream } = useApp();
  const { service, query } = useRoute();
  const env = useEnv();
  const region = useRegion();
  const href = useHref();
  const known = useStore(stream.known);
  const polled = usePoll(`${service}/${env}/${region}`, 2000, (signal) => getService(service, env, region, signal));
  const a = polled.data;
  const row = known.rows.get(rowKey({ service, env })) ?? a?.row;
  const all = sorted(known, env);
  const findings = [...all.open, ...all.quiet].filter((f) => about(f).includes(service));
  const wrong = troubles(known.findings).get(rowKey({ service, env })) ?? [];
  const scrolled = useRef(false);
  useEffect(() => {
    // A link that names instances leads to them.
    if (scrolled.current || !a || !(query.only || query.q || query.i)) return;
    scrolled.current = true;
    document.getElementById("instances")?.scrollIntoView();
  }, [a]);

  if (!row) {
    const none = polled.error instanceof Refusal && polled.error.status === 404;
    return (
      <section class="calm" aria-busy={!polled.error}>
        <p class="big">{none ? `No service ${service} in ${region || env}.` : polled.error ? "Nothing is known yet." : "Calling the roll …"}</p>
        {polled.error && (
          <p class="dim">
            {polled.error.message}.{" "}
            <a href={href("/services")} data-in>
              All services
            </a>
          </p>
        )}
      </section>
    );
  }
  return (
    <>
      <Head row={row} a={a} error={polled.error} told={findings.length > 0} />
      {findings.length > 0 && <h2 class="hidden">What broke</h2>}
      <InTurns
        items={findings}
        keyOf={(f) => f.id}
        render={(f) => <FindingCard f={f} row={row} here troubles={wrong} as={quiet(f) || isCanary(f) ? "brief" : "card"} />}
      />
      <Golden row={row} marks={a?.events ?? []} troubles={wrong} metrics={a?.metrics ?? []} bounds={a?.bounds} />
      <Different service={service} env={env} />
      <Over service={service} env={env} />
      {a ? (
        <>
          <Instances all={a.instances ?? []} fresh={!polled.error} before={a.usual} hit={(row.signals ?? []).join()} />
          <Canary service={service} env={env} />
          <Thrown service={service} env={env} />
          <Metrics service={service} env={env} metrics={a.metrics ?? []} marks={a.events ?? []} />
          <Events events={a.events ?? []} />
        </>
      ) : (
        <p class="empty">{polled.error ? `△ ${polled.error.message}.` : "Calling its instances …"}</p>
      )}
    </>
  );
}

const mostOver = 5;

/** Over lists the findings about the service that are over, of the last day. */
function Over({ service, env }: { service: string; env: string }) {
  const polled = usePoll(`${service}/${env}`, 30_000, (signal) => getEnded(service, env, signal));
  const [all, set] = useState(false);
  const over = (polled.data?.findings ?? []).filter((f) => !f.canary || f.canary.verdict === "fail");
  if (over.length === 0) return null;
  return (
    <section aria-label="Lately over">
      <h2>
        <span>Lately over</span>
        <span>{plural(over.length, "finding")} of the last day</span>
      </h2>
      <ul class="endeds">
        {over.slice(0, all ? over.length : mostOver).map((f) => (
          <EndedFinding key={f.id} f={f} />
        ))}
      </ul>
      {!all && over.length > mostOver && (
        <button type="button" class="link" onClick={() => set(true)}>
          All {over.length}
        </button>
      )}
    </section>
  );
}

/** Head says who and how many. told: a finding beneath says what is wrong. */
function Head({ row, a, error, told }: { row: Row; a: ServiceAnswer | null; error: Error | null; told: boolean }) {
  const { clock: serverClock } = useApp();
  useNow();
  const fresh = useTrust().state === "fresh";
  const age = a ? serverClock.now() - a.as_of : null;
  const versions = row.versions ?? [];
  const total = versions.reduce((n, v) => n + v.n, 0);
  return (
    <header class="service-head">
      <h1>
        {row.trouble > 0 && (
          <span class={`sign ${row.trouble === 2 ? "bad" : "warn"}`} role="img" aria-label={row.trouble === 2 ? "Bad:" : "Warning:"}>
            {row.trouble === 2 ? "▲" : "△"}
          </span>
        )}{" "}
        {row.service} <span class="dim">{row.env}</span>
      </h1>
      <p class="facts">
        <span class={row.answering < row.expected ? "warn" : ""}>
          <b>{count(row.answering)}</b> of {count(row.expected)} answering
          {row.answering < row.expected && `, ${absent(row)}`}
        </span>
        {row.owner && <span>owner {row.owner}</span>}
        {row.chat && !link(row.chat) && <span>chat {row.chat}</span>}
        {link(row.runbook) && (
          <a href={link(row.runbook)} target="_blank" rel="noreferrer" data-testid="runbook-head">
            Runbook
          </a>
        )}
        {(a?.objectives ?? []).map((o) => (
          <Kept key={o.name} o={o} />
        ))}
        {!told && row.trouble > 0 && !!row.why?.length && <span class={row.trouble === 2 ? "bad" : "warn"}>{row.why.join(" · ")}</span>}
        {(a?.bursts ?? []).map((b) => (
          <CloserLook key={b.id} b={b} of={`${row.service}/${row.env}`} />
        ))}
        <span data-testid="service-age">
          {age != null && (age > 10_000 || error) ? (
            <span class="warn">
              △ as of {length(age)} ago{error ? `: ${error.message}` : ""}
            </span>
          ) : (
            fresh && "live"
          )}
        </span>
      </p>
      {versions.length > 0 && (
        <p class="versions" data-testid="versions">
          {versions.length === 1 ? (
            <span>
              one version, <b>{versions[0]?.version || "unknown"}</b>
            </span>
          ) : (
            <>
              {versions.map((v) => (
                <span key={v.version} class="version">
                  <b>{v.version || "unknown"}</b> {count(v.n)} <span class="dim">({percent(total ? v.n / total : null)})</span>
                  <span class="share" aria-hidden="true">
                    <i style={{ width: `${total ? (100 * v.n) / total : 0}%` }} />
                  </span>
                </span>
              ))}
            </>
          )}
        </p>
      )}
    </header>
  );
}

/** CloserLook says that some are pulled more often, until when, and who asked for it. */
function CloserLook({ b, of }: { b: Burst; of: string }) {
  const zone = useZone();
  const now = useNow();
  if (b.until <= now) return null;
  const slice = b.slice.startsWith(of) ? b.slice.slice(of.length).replace(/^, /, "") : b.slice;
  const who = b.of && (b.taken ?? 0) < b.of ? `${count(b.taken ?? 0)} of ${count(b.of)} instances ` : "";
  return (
    <span data-testid="burst" title={b.why}>
      {who}every {b.every_ms === 1000 ? "second" : milliseconds(b.every_ms)} until {at(b.until, zone, now)}, by {b.by}
      {slice && <span class="dim"> ({slice})</span>}
    </span>
  );
}

/** exactly is a share with as many digits as tell it from all. */
const exactly = (x: number): string => `${+(x * 100).toFixed(3)} %`;

/** Kept says how one objective stands. */
function Kept({ o }: { o: Objective }) {
  const what = `${o.name} ${exactly(o.target)}${o.under_ms ? ` under ${milliseconds(o.under_ms)}` : ""}`;
  return (
    <span class={o.alert ? o.alert.level : o.why ? "dim" : ""} data-testid="objective" title={o.why}>
      {what}: {o.good == null ? "not known" : `${exactly(o.good)} within a day, ${percent(o.spent)} of the budget of ${length(o.window_ms)}`}
    </span>
  );
}

interface GoldenProps {
  row: Row;
  marks: Mark[];
  troubles: readonly Trouble[];
  metrics: Metric[];
  bounds: ServiceAnswer["bounds"];
}

/** between are bounds at the points of a spark, which is a step further on at times. */
function between(b: ServiceAnswer["bounds"], t0: number, step: number, n: number): { lo: Values; hi: Values } | null {
  if (!b || b.step !== step) return null;
  const by = Math.round((t0 - b.t0) / step);
  const at = (v: Values): Values => Array.from({ length: n }, (_, i) => v[i + by] ?? null);
  return { lo: at(b.lo), hi: at(b.hi) };
}

function Golden({ row, marks, troubles, metrics, bounds }: GoldenProps) {
  const href = useHref();
  const { router } = useApp();
  const s = row.spark;
  const span = useSpan(s?.step);
  // The same arrays until there is something new: a chart is drawn again when its lines are others.
  const lines = useMemo(() => {
    const of = (name: string, values: Values | undefined): { name: string; values: Values }[] => [{ name, values: values ?? [] }];
    return { rate: of("rate", s?.rate), errors: of("errors", s?.error_ratio), answering: of("answering", s?.answering) };
  }, [s]);
  const latency = useMemo(() => {
    const values = s?.latency ?? [];
    return [{ name: "latency", values, ...(s && between(bounds, s.t0, s.step, values.length)) }];
  }, [s, bounds]);
  const brushed = useBrushed();
  if (!s) return null;
  const usual = (v: Values): Scale => usualScale(v, before(v, s.t0, s.step, troubles));
  const brush = (from: number, to: number): void => router.change({ from: String(Math.floor(from)), to: String(Math.ceil(to)) }, false);
  const news = troubled(row);
  const level = row.trouble === 2 ? "bad" : row.trouble === 1 ? "warn" : "";
  const common = { t0: s.t0, step: s.step, span, marks, brushed, height: 140, onBrush: brush };
  const calm = (v: Values, scale: Scale): Scale | null => band(before(v, s.t0, s.step, troubles), scale);
  const scales = { rate: usual(s.rate), errors: errorScale([s.error_ratio]), latency: usual(s.latency) };
  // What a percentile lies between has room, too.
  const top = highest(latency[0]?.hi ?? []);
  if (top > scales.latency.hi) scales.latency = { lo: 0, hi: roundUp(top) };
  const of = (k: "rate" | "error_ratio" | "latency" | "answering"): "bad" | "warn" | "" => (news.has(k) ? level : "");
  // What a signal is made of, by version: the first question after a deploy.
  const byVersion = (golden: string): preact.ComponentChildren => {
    const m = metrics.find((x) => x.golden === golden);
    if (!m) return null;
    const field = golden === "latency" && m.fields?.includes(latencyName(row)) ? latencyName(row) : "";
    return (
      <a href={href("/explore", { env: row.env, service: row.service, metric: m.name, field, by: "version" })} data-in>
        by version
      </a>
    );
  };
  const charts: ComponentProps<typeof Chart>[] = [
    {
      ...common,
      name: "rate",
      title: "requests",
      lines: lines.rate,
      scale: scales.rate,
      usual: calm(s.rate, scales.rate),
      say: rate,
      current: rate(row.rate),
      actions: byVersion("rate"),
      level: of("rate"),
    },
    {
      ...common,
      name: "errors",
      actions: byVersion("errors"),
      title: "errors",
      lines: lines.errors,
      scale: scales.errors,
      usual: calm(s.error_ratio, scales.errors),
      say: percent,
      current: percent(row.error_ratio),
      level: of("error_ratio"),
      note: row.error_ratio != null && row.rate != null ? `${errors(null, null, row.errors ?? row.error_ratio * row.rate)} of ${rate(row.rate)}` : "",
    },
    {
      ...common,
      name: "latency",
      actions: byVersion("latency"),
      title: latencyName(row),
      lines: latency,
      scale: scales.latency,
      usual: calm(s.latency, scales.latency),
      say: milliseconds,
      sayWithin: interval,
      level: of("latency"),
      current: interval(row.latency),
    },
    {
      ...common,
      name: "answering",
      title: "answering",
      lines: lines.answering,
      scale: countScale(s.answering, row.expected),
      say: count,
      current: count(row.answering),
      level: of("answering"),
      note: `of ${count(row.expected)}`,
    },
  ];
  return (
    <section aria-label="Signals">
      <h2>
        <span>Signals</span>
        <span>{length(span.to - span.from)} · drag over a chart to ask what was different then</span>
      </h2>
      <div class="plots golden">
        <InTurns items={charts} keyOf={(c) => c.name} render={(c) => <Chart {...c} />} />
      </div>
    </section>
  );
}

function Events({ events }: { events: Mark[] }) {
  const zone = useZone();
  const now = useNow(10_000);
  if (events.length === 0) return null;
  return (
    <section aria-label="Events">
      <h2>
        <span>What changed</span>
        <span>dotted lines in the charts</span>
      </h2>
      <ul class="endeds">
        {[...events]
          .sort((x, y) => y.t - x.t)
          .slice(0, 50)
          .map((e, i) => (
            <li key={i}>
              <time title={at(e.t, zone, now)}>{clock(e.t, zone, now)}</time> {e.text}
            </li>
          ))}
      </ul>
    </section>
  );
}
