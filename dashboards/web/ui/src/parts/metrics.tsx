// Every metric of a service, by search: what it is, and its live chart.
import { useMemo } from "preact/hooks";
import type { Mark, Metric } from "../api/contract";
import { plural } from "../say/number";
import { useApp, useHref, useRoute } from "../state/app";
import { matcher } from "./match";
import { parseRef, refText, SeriesChart, type MetricRef } from "./series";
import { shown } from "./signals";

const mostCharts = 12;
const mostListed = 60;

/** refs is what can be charted: a distribution's fields one by one. */
export const refs = (metrics: readonly Metric[]): (MetricRef & { m: Metric })[] =>
  metrics.flatMap((m) => (m.fields?.length ? m.fields.map((field) => ({ metric: m.name, field, m })) : [{ metric: m.name, field: "", m }]));

/** A list in one query value: commas between, percent-encoded within. */
export const packed = (all: string[]): string => all.map(encodeURIComponent).join(",");
export const unpacked = (s: string | undefined): string[] =>
  (s ?? "").split(",").filter(Boolean).map((x) => {
    try {
      return decodeURIComponent(x);
    } catch {
      return x;
    }
  });

export const byChoices = ["", "version", "zone", "instance", "track"] as const;

export function By({ value, onChange, choices = byChoices }: { value: string; onChange: (by: string) => void; choices?: readonly string[] }) {
  return (
    <label class="by">
      by{" "}
      <select value={value} onChange={(e) => onChange(e.currentTarget.value)} data-testid="by">
        {[...new Set([...choices, value])].map((c) => (
          <option key={c} value={c}>
            {c || "nothing"}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Metrics({ service, env, metrics, marks }: { service: string; env: string; metrics: Metric[]; marks: Mark[] }) {
  const { router } = useApp();
  const { query } = useRoute();
  const href = useHref();
  const q = query.mq ?? "";
  const by = query.by ?? "";
  const open = unpacked(query.m);
  const all = useMemo(() => refs(metrics), [metrics]);
  const listed = useMemo(() => {
    const passes = matcher(q);
    return all.filter((r) => passes({ name: refText(r), kind: r.m.kind, unit: r.m.unit, window: r.m.window }));
  }, [all, q]);
  const toggle = (ref: string): void =>
    router.change({ m: packed(open.includes(ref) ? open.filter((x) => x !== ref) : [ref, ...open].slice(0, mostCharts)) || undefined });
  return (
    <section aria-label="Metrics" id="metrics">
      <h2>
        <span>Metrics</span>
        <span>{plural(metrics.length, "metric")}</span>
      </h2>
      <div class="bar">
        <input
          type="search"
          class="filter"
          placeholder="Any metric: latency, kind:counter, unit:ms"
          aria-label="Search metrics"
          value={q}
          onInput={(e) => router.change({ mq: e.currentTarget.value })}
        />
        <By value={by} onChange={(v) => router.change({ by: v || undefined })} />
        {open.length > 0 && (
          <button type="button" class="link" onClick={() => router.change({ m: undefined })}>
            Close all charts
          </button>
        )}
      </div>
      {open.length > 0 && (
        <div class="plots">
          {open.map((text) => {
            const ref = parseRef(text);
            return (
              <SeriesChart
                key={text}
                {...ref}
                service={service}
                env={env}
                by={by}
                window={{ ms: shown, from: 0, to: 0 }}
                extraMarks={marks}
                actions={
                  <>
                    <a href={href("/explore", { env, service, metric: ref.metric, field: ref.field, by })} data-in>
                      Explore
                    </a>
                    <button type="button" class="link" aria-label={`Close the chart of ${text}`} onClick={() => toggle(text)}>
                      Close
                    </button>
                  </>
                }
              />
            );
          })}
        </div>
      )}
      <ul class="metrics">
        {listed.slice(0, mostListed).map((r) => {
          const text = refText(r);
          const on = open.includes(text);
          return (
            <li key={text}>
              <button type="button" aria-pressed={on} onClick={() => toggle(text)} data-item data-testid="metric" data-metric={text}>
                <span class="name">
                  {r.metric}
                  {r.field && <span class="dim"> {r.field}</span>}
                </span>
                <span class="dim">{[r.m.kind, r.m.unit, r.m.window, plural(r.m.instances, "instance")].filter(Boolean).join(" · ")}</span>
              </button>
            </li>
          );
        })}
      </ul>
      {listed.length > mostListed && <p class="dim">{plural(listed.length - mostListed, "more metric")}: type to narrow them down.</p>}
      {listed.length === 0 && <p class="empty">{metrics.length ? "No metric fits." : "No metric has been seen yet."}</p>}
    </section>
  );
}
