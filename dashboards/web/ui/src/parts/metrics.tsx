// Every metric of a service, by search: what it is, and its live chart.
import { useMemo } from "preact/hooks";
import type { Metric } from "../api/answers";
import type { Mark } from "../api/contract";
import { plural } from "../say/number";
import { useApp, useHref, useRoute } from "../state/app";
import { matcher } from "./match";
import { packed, parseRef, refText, unpacked } from "./metric";
import { SeriesChart } from "./series";
import { useShown } from "./signals";

const mostCharts = 12;
const mostListed = 60;

export const byChoices = ["", "version", "zone", "instance", "track"] as const;

export function By({ value, onChange, choices = byChoices }: { value: string; onChange: (by: string) => void; choices?: readonly string[] }) {
  return (
    <label class="by">
      By{" "}
      <select value={value} onChange={(e) => onChange(e.currentTarget.value)} data-testid="by">
        {[...new Set([...choices, value])].map((c) => (
          <option key={c} value={c}>
            {c.slice(0, 80) || "nothing"}
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
  const length = useShown();
  const q = query.mq ?? "";
  const by = query.by ?? "";
  const open = unpacked(query.m);
  const listed = useMemo(() => {
    const passes = matcher(q);
    // What the signals are made of comes first.
    return metrics
      .filter((m) =>
        passes({
          name: `${m.name} ${(m.fields ?? []).join(" ")}`,
          kind: m.kind,
          unit: m.unit,
          window: m.window,
          signal: m.golden ?? "",
          labels: (m.labels ?? []).join(" "),
        }),
      )
      .sort((a, b) => Number(!a.golden) - Number(!b.golden));
  }, [metrics, q]);
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
                window={{ ms: length, from: 0, to: 0 }}
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
        {listed.slice(0, mostListed).map((m) => {
          const choice = (field: string, text: string) => {
            const ref = refText({ metric: m.name, field });
            return (
              <button
                key={ref}
                type="button"
                aria-pressed={open.includes(ref)}
                aria-label={`Chart ${m.name} ${field}`}
                onClick={() => toggle(ref)}
                data-item
                data-testid="metric"
                data-metric={ref}
              >
                {text}
              </button>
            );
          };
          return (
            <li key={m.name}>
              {m.fields?.length ? (
                <span class="name">
                  {m.name} {m.fields.map((f) => choice(f, f))}
                </span>
              ) : (
                choice("", m.name)
              )}
              <span class="dim">
                {[
                  m.golden && `the ${m.golden}`,
                  m.kind,
                  m.unit,
                  m.window,
                  m.labels?.length && `by ${m.labels.join(", ")}`,
                  plural(m.instances, "instance"),
                ]
                  .filter(Boolean)
                  .join(" · ")}
              </span>
            </li>
          );
        })}
      </ul>
      {listed.length > mostListed && <p class="dim">{plural(listed.length - mostListed, "more metric")}: type to narrow them down.</p>}
      {listed.length === 0 && <p class="empty">{metrics.length ? "No metric fits." : "No metric has been seen yet."}</p>}
    </section>
  );
}
