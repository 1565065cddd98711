// Any metric of any service, by any dimension, over any window: as a chart and as a table, with an address that shows it again.
import { useMemo } from "preact/hooks";
import type { ServiceAnswer } from "../api/answers";
import { getService } from "../api/fetch";
import { usePoll } from "../api/poll";
import { lastKnown } from "../draw/path";
import { finite } from "../draw/scale";
import { Combo } from "../parts/combo";
import { csv, save } from "../parts/csv";
import { dimensionsOf, type Pair } from "../parts/cohort";
import { Different } from "../parts/different";
import { CopyButton } from "../parts/copy";
import { By, byChoices } from "../parts/metrics";
import { besideOf, narrowed, packed, parseRef, refs, refText, unpacked, windowOf } from "../parts/metric";
import { SeriesChart, type Shown } from "../parts/series";
import { useShown } from "../parts/signals";
import { Table, type Column } from "../parts/table";
import { count, percent, plural, quantity } from "../say/number";
import { at, parseWindow, span as length } from "../say/time";
import { useApp, useEnv, useHref, useRegion, useRoute, useZone } from "../state/app";
import { hostPath, servicePath } from "../state/route";
import { useStore } from "../state/store";

const lengths = ["5m", "15m", "1h"];

export function Explore() {
  const { stream, router, clock } = useApp();
  const { query } = useRoute();
  const env = useEnv();
  const region = useRegion();
  const href = useHref();
  const zone = useZone();
  const said = useStore(stream.known, (k) => k.said);
  const services = useMemo(
    () =>
      stream.known
        .get()
        .rows.all()
        .filter((r) => r.env === env)
        .map((r) => ({ value: r.service, hint: r.owner }))
        .sort((a, b) => (a.value < b.value ? -1 : 1)),
    [said, env],
  );
  const service = query.service ?? "";
  const about = usePoll<ServiceAnswer>(service ? `${service}/${env}/${region}` : null, 30_000, (signal) => getService(service, env, region, signal));
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
  const where = unpacked(query.where);
  const beside = besideOf(query.vs, where, w.ms || w.to - w.from);
  const pairs = useMemo(() => dimensionsOf(a?.instances ?? []), [a]);
  const only = (next: string[], more: Record<string, string | undefined> = {}): void => router.change({ where: packed(next) || undefined, ...more }, false);
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
          {(w.ms && !lengths.some((l) => parseWindow(l) === w.ms) ? [`${Math.round(w.ms / 60_000)}m`, ...lengths] : lengths).map((l) => (
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
      {service && metric && <Cohorts where={where} vs={query.vs ?? ""} pairs={pairs} onWhere={only} />}
      {service && metric ? (
        <>
          <SeriesChart
            service={service}
            env={env}
            metric={metric}
            field={field}
            by={by}
            window={w}
            where={where}
            beside={beside}
            height={340}
            onBrush={fix}
            below={(s) => <Lines s={s} by={by} held={w.ms === 0} what={[service, env, region, refText({ metric, field }), ...where]} a={a} onDrill={(value) => only(narrowed(where, `${by}=${value}`), { by: deeper(by) })} besides={beside?.name} />}
          />
          <Different service={service} env={env} besides={where.length ? `only ${where.join(", ")}` : metric} />
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

/** deeper is what one looks at next, within one value of a dimension. */
const deeper = (by: string): string => (by === "version" ? "zone" : "instance");

/** Cohorts are what the chart is narrowed to, and what it is compared with. */
function Cohorts({ where, vs, pairs, onWhere }: { where: string[]; vs: string; pairs: readonly Pair[]; onWhere: (where: string[]) => void }) {
  const { router } = useApp();
  const cohorts = pairs.map((p) => ({ value: `${p.name}=${p.value}`, hint: plural(p.n, "instance") }));
  const times = [
    { value: "before", hint: "as long a time just before" },
    { value: "1h", hint: "an hour earlier" },
    { value: "1d", hint: "a day earlier" },
  ];
  return (
    <div class="controls">
      <Combo label="Only" testId="explore-where" placeholder="version=…, zone=…, any tag" value="" choices={cohorts.filter((c) => !where.includes(c.value))} onPick={(v) => onWhere(narrowed(where, v))} free />
      <Combo label="Beside" testId="explore-beside" placeholder="another time or cohort" value={vs} choices={[...times, ...cohorts]} onPick={(v) => router.change({ vs: v || undefined }, false)} free />
      {vs && (
        <button type="button" class="link" onClick={() => router.change({ vs: undefined }, false)}>
          Compare with nothing
        </button>
      )}
      {where.map((c) => (
        <button key={c} type="button" class="chip" aria-label={`Let go of ${c}`} onClick={() => onWhere(narrowed(where, c))} data-testid="condition">
          <bdi>{c}</bdi> <span aria-hidden="true">×</span>
        </button>
      ))}
    </div>
  );
}

interface LineFacts {
  name: string;
  instances: number;
  last: number | null;
  least: number | null;
  mean: number | null;
  most: number | null;
  other: number | null; // the mean of what it is compared with
}

const mean = (xs: number[]): number | null => (xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : null);

/** change says how far one is from another: +12 %, or 3.4 × where that reads better. */
function change(is: number | null, was: number | null): string {
  if (is == null || was == null || was === 0) return "–";
  const r = is / was;
  if (r >= 3) return `${quantity(r)} ×`;
  return `${r >= 1 ? "+" : "−"}${percent(Math.abs(r - 1))}`;
}

interface LinesProps {
  s: Shown;
  by: string;
  held: boolean;
  what: string[]; // whose lines they are, for who has nothing but the file
  a: ServiceAnswer | null;
  besides: string | undefined;
  onDrill: (value: string) => void;
}

function Lines({ s, by, held, what, a, besides, onDrill }: LinesProps) {
  const { router } = useApp();
  const { query } = useRoute();
  const href = useHref();
  const usual = held ? "-mean" : "-last"; // of a while that is over the last step is no news
  const rows = useMemo<LineFacts[]>(
    () =>
      s.lines.map((l) => {
        const xs = finite(l.values);
        // What is drawn: the line, or the bounds where no one number can be had.
        const los = xs.length || !l.lo ? xs : finite(l.lo);
        const his = xs.length || !l.hi ? xs : finite(l.hi);
        const i = lastKnown(l.values);
        return {
          name: l.name,
          instances: s.answer?.series?.find((x) => x.name === l.name)?.instances ?? 0,
          last: i >= l.values.length - 3 && i >= 0 ? (l.values[i] ?? null) : null,
          least: los.length ? Math.min(...los) : null,
          mean: mean(xs),
          most: his.length ? Math.max(...his) : null,
          other: mean(finite(s.beside.get(l.name)?.values ?? [])),
        };
      }),
    [s.lines, s.beside],
  );
  // Where there is nothing deeper to ask, the line leads to who it is.
  const leads = (value: string): preact.ComponentChildren => {
    const i = a?.instances?.find((x) => (by === "instance" ? x.instance : x.host) === value);
    if (!i || !a || (by !== "instance" && by !== "host")) return null;
    const to = by === "instance" ? href(servicePath(a.row.service), { env: a.row.env, i: value }) : href(hostPath(value));
    return (
      <>
        <a href={to} data-in data-item>
          {value}
        </a>
        {by === "instance" && i.host && (
          <>
            {" on "}
            <a href={href(hostPath(i.host))} data-in>
              {i.host}
            </a>
          </>
        )}
      </>
    );
  };
  // What stands for several, or for those who say nothing, is no value that can be asked for.
  const name = (r: LineFacts): preact.ComponentChildren =>
    by && r.name && r.name !== "other" && r.name !== "unknown" && by !== "instance" && by !== "host" ? (
      <button type="button" class="link" title={`Only ${by} ${r.name}`} onClick={() => onDrill(r.name)} data-item data-testid="drill">
        {r.name}
      </button>
    ) : (
      leads(r.name) ?? (r.name || "all")
    );
  const columns: Column<LineFacts>[] = [
    { key: "name", head: by || "line", sort: (r) => r.name, cell: name },
    { key: "instances", head: "Instances", num: true, sort: (r) => r.instances, cell: (r) => count(r.instances) },
    { key: "last", head: "Last", num: true, sort: (r) => r.last, cell: (r) => s.say(r.last) },
    { key: "least", head: "Least", num: true, sort: (r) => r.least, cell: (r) => s.say(r.least) },
    { key: "mean", head: "Mean", num: true, sort: (r) => r.mean, cell: (r) => s.say(r.mean) },
    { key: "most", head: "Most", num: true, sort: (r) => r.most, cell: (r) => s.say(r.most) },
    ...(besides
      ? ([
          { key: "other", head: `Mean, ${besides}`, num: true, sort: (r) => r.other, cell: (r) => s.say(r.other) },
          { key: "change", head: "Change", num: true, sort: (r) => (r.mean != null && r.other ? r.mean / r.other : null), cell: (r) => change(r.mean, r.other) },
        ] satisfies Column<LineFacts>[])
      : []),
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
            onClick={() => s.answer && save(`${what.filter(Boolean).join("_")}.csv`, csv(s.answer.t0, s.answer.step, [...s.lines, ...s.beside.values()], [...what.filter(Boolean), s.answer.unit].filter(Boolean).join(" ")))}
            data-testid="csv"
          >
            Save as CSV
          </button>
        </span>
      </h2>
      <Table
        name={besides ? "t-lines beside" : "t-lines"}
        label="Lines of the chart"
        columns={columns}
        rows={rows}
        keyOf={(r) => r.name}
        sort={query.sort ?? usual}
        onSort={(sort) => router.change({ sort: sort === usual ? undefined : sort })}
        rowTestId="explore-row"
      />
    </section>
  );
}
