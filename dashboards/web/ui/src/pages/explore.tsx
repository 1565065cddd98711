// Any metric of any service, by any dimension, over any window: as a chart and as a table, with an address that shows it again.
import { useMemo } from "preact/hooks";
import type { ServiceAnswer } from "../api/contract";
import { getService } from "../api/fetch";
import { usePoll } from "../api/poll";
import { lastKnown } from "../draw/path";
import { finite } from "../draw/scale";
import { Combo } from "../parts/combo";
import { csv, save } from "../parts/csv";
import { Different } from "../parts/different";
import { CopyButton } from "../parts/finding";
import { By, byChoices } from "../parts/metrics";
import { parseRef, refs, refText, windowOf } from "../parts/metric";
import { SeriesChart, type Shown } from "../parts/series";
import { useShown } from "../parts/signals";
import { Table, type Column } from "../parts/table";
import { count, plural } from "../say/number";
import { at, parseWindow, span as length } from "../say/time";
import { useApp, useEnv, useHref, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";
import { useStore } from "../state/store";

const lengths = ["5m", "15m", "1h"];
export function Explore() {
  const { stream, router, clock } = useApp();
  const { query } = useRoute();
  const env = useEnv();
  const href = useHref();
  const zone = useZone();
  const rows = useStore(stream.known, (k) => k.rows);
  const services = useMemo(
    () =>
      [...rows.values()]
        .filter((r) => r.env === env)
        .map((r) => ({ value: r.service, hint: r.owner }))
        .sort((a, b) => (a.value < b.value ? -1 : 1)),
    [rows, env],
  );
  const service = query.service ?? "";
  const about = usePoll<ServiceAnswer>(service ? `${service}/${env}` : null, 30_000, (signal) => getService(service, env, signal));
  const a = about.data;
  const metrics = useMemo(
    () => refs(a?.metrics ?? []).map((r) => ({ value: refText(r), hint: [r.m.kind, r.m.unit, r.m.window].filter(Boolean).join(" · ") })),
    [a],
  );
  const metric = query.metric ?? "";
  const field = query.field ?? "";
  const dimensions = useMemo(() => {
    const labels = a?.metrics?.find((m) => m.name === metric)?.labels ?? [];
    const tags = new Set((a?.instances ?? []).flatMap((i) => Object.keys(i.tags ?? {})));
    return [...byChoices, ...labels, ...[...tags].sort()];
  }, [a, metric]);
  const by = query.by ?? "";
  const w = windowOf(query, useShown());
  const fix = (from: number, to: number): void => router.change({ from: String(Math.floor(from)), to: String(Math.ceil(to)), w: undefined }, false);
  return (
    <>
      <div class="bar">
        <h1>Explore</h1>
      </div>
      <div class="controls">
        <Combo
          label="Service"
          testId="explore-service"
          placeholder="Pick a service"
          value={service}
          choices={services}
          onPick={(v) => router.change({ service: v, metric: undefined, field: undefined }, false)}
        />
        <Combo
          label="Metric"
          testId="explore-metric"
          placeholder={service ? "Pick a metric" : "First a service"}
          value={metric ? refText({ metric, field }) : ""}
          choices={metrics}
          onPick={(v) => {
            const r = parseRef(v);
            router.change({ metric: r.metric, field: r.field || undefined }, false);
          }}
        />
        <By value={by} onChange={(v) => router.change({ by: v || undefined }, false)} choices={dimensions} />
        <div class="seg" role="group" aria-label="Window">
          {lengths.map((l) => (
            <button
              key={l}
              type="button"
              aria-pressed={w.ms === parseWindow(l)}
              onClick={() => router.change({ w: l, from: undefined, to: undefined }, false)}
            >
              {l.replace("m", " min").replace("h", " h")}
            </button>
          ))}
        </div>
        {w.ms === 0 ? (
          <button type="button" class="link" onClick={() => router.change({ from: undefined, to: undefined }, false)}>
            Back to live
          </button>
        ) : (
          <button type="button" class="link" onClick={() => fix(clock.now() - w.ms, clock.now())}>
            Hold this window
          </button>
        )}
        <CopyButton text={() => location.href} label="Copy link" />
      </div>
      {w.ms === 0 && (
        <p class="dim held">
          Held: {at(w.from, zone, clock.now())} to {at(w.to, zone, clock.now())}, {length(w.to - w.from)}
        </p>
      )}
      {service && metric ? (
        <>
          <SeriesChart
            service={service}
            env={env}
            metric={metric}
            field={field}
            by={by}
            window={w}
            height={340}
            onBrush={fix}
            below={(s) => <Lines s={s} by={by} />}
          />
          <Different service={service} env={env} />
          <p class="dim">
            Drag over the chart to hold a part of it and to ask what was different then.{" "}
            <a href={href(servicePath(service), { env })} data-in>
              Open {service}
            </a>
          </p>
        </>
      ) : (
        <p class="empty">
          {about.error
            ? `${about.error.message}.`
            : service
              ? "Pick one of its metrics above: each is listed with its kind, unit and window."
              : "Pick a service, then one of its metrics. The address of this page then shows the same chart to anyone."}
        </p>
      )}
    </>
  );
}

interface LineFacts {
  name: string;
  instances: number;
  last: number | null;
  least: number | null;
  mean: number | null;
  most: number | null;
}

function Lines({ s, by }: { s: Shown; by: string }) {
  const { router } = useApp();
  const { query } = useRoute();
  const rows = useMemo<LineFacts[]>(
    () =>
      s.lines.map((l, at) => {
        const xs = finite(l.values);
        const los = l.lo ? finite(l.lo) : xs; // bounds reach further than what lies between them
        const his = l.hi ? finite(l.hi) : xs;
        const i = lastKnown(l.values);
        return {
          name: l.name,
          instances: s.answer?.series?.[at]?.instances ?? 0,
          last: i >= l.values.length - 3 && i >= 0 ? (l.values[i] ?? null) : null,
          least: los.length ? Math.min(...los) : null,
          mean: xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : null,
          most: his.length ? Math.max(...his) : null,
        };
      }),
    [s.lines],
  );
  const columns: Column<LineFacts>[] = [
    { key: "name", head: by || "line", sort: (r) => r.name, cell: (r) => r.name || "all" },
    { key: "instances", head: "Instances", num: true, sort: (r) => r.instances, cell: (r) => count(r.instances) },
    { key: "last", head: "Last", num: true, sort: (r) => r.last, cell: (r) => s.say(r.last) },
    { key: "least", head: "Least", num: true, sort: (r) => r.least, cell: (r) => s.say(r.least) },
    { key: "mean", head: "Mean", num: true, sort: (r) => r.mean, cell: (r) => s.say(r.mean) },
    { key: "most", head: "Most", num: true, sort: (r) => r.most, cell: (r) => s.say(r.most) },
  ];
  if (rows.length === 0) return null;
  return (
    <section aria-label="Lines">
      <h2>
        <span>{plural(rows.length, "line")}</span>
        <span>
          {s.answer?.of}{" "}
          <button
            type="button"
            class="link"
            onClick={() => s.answer && save(`${s.answer.metric}.csv`, csv(s.answer.t0, s.answer.step, s.lines))}
            data-testid="csv"
          >
            Save as CSV
          </button>
        </span>
      </h2>
      <Table
        name="t-lines"
        label="Lines of the chart"
        columns={columns}
        rows={rows}
        keyOf={(r) => r.name}
        sort={query.sort ?? "-last"}
        onSort={(sort) => router.change({ sort: sort === "-last" ? undefined : sort })}
        rowTestId="explore-row"
      />
    </section>
  );
}
