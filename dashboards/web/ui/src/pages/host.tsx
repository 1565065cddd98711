// One host: every instance on it, of every service, side by side. When a machine is ill, all of them say so.
import { useMemo } from "preact/hooks";
import type { OnHost } from "../api/answers";
import { about, rowKey, type Level } from "../api/contract";
import { Refusal, getHost } from "../api/fetch";
import { usePoll } from "../api/poll";
import { band, before, errorScale, usualScale, type Scale, type Trouble } from "../draw/scale";
import { Spark, type Span } from "../draw/spark";
import { EndedFinding, FindingCard } from "../parts/finding";
import { errorsOf, failures, health, latencyOf, network, rank, reasonOf, slow, usual, type Health } from "../parts/health";
import { hostOf } from "../parts/leads";
import { useSpan } from "../parts/signals";
import { Table, type Column } from "../parts/table";
import { signs } from "../say/level";
import { axisText, count, milliseconds, percent, plural, rate } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useHref, useNow, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";
import { useStore } from "../state/store";
import { troubles } from "./now";

interface Judged {
  i: OnHost;
  h: Health;
  /** failing and slow are of its lines: who fails may be slow as well. */
  failing: Level | "";
  slow: Level | "";
  since: number | null; // of what is wrong
  errors: Scale;
  wrong: readonly Trouble[];
}

export function Host() {
  const { router, clock, stream } = useApp();
  const { service: host, query } = useRoute();
  const href = useHref();
  const zone = useZone();
  const now = useNow(10_000);
  const shown = useSpan();
  const findings = useStore(stream.known, (k) => k.findings);
  const polled = usePoll(host, 2000, (signal) => getHost(host, "", signal));
  const a = polled.data;
  const ofHost = findings.filter((f) => hostOf(f) === host);
  const rows = useMemo<Judged[]>(() => {
    const all = a?.instances ?? [];
    const wrong = troubles(findings);
    const errors = errorScale(all.map((i) => i.lines?.error_ratio ?? []));
    const { age } = usual(all);
    return all.map((i) => {
      const open = findings.filter((f) => f.ended == null && f.env === i.env && about(f).includes(i.service));
      // Different services are no measure of each other: each is held against what its own does when nothing is wrong.
      const before = i.usual ?? { error_ratio: null, latency: null };
      const u = { errors: before.error_ratio ?? 0, latency: before.latency ?? 0, age, before, hit: new Set(open.flatMap((f) => f.signals?.[i.service] ?? [])) };
      const h = health(i, u);
      const begun = open.length ? Math.min(...open.map((f) => f.since)) : null;
      return { i, h, failing: h.level && failures(i, u), slow: h.level && slow(i, u) ? "warn" : "", since: !h.level ? null : i.state === "present" ? begun : i.since, errors, wrong: wrong.get(rowKey(i)) ?? [] };
    });
  }, [a, findings]);
  const columns = useMemo<Column<Judged>[]>(
    () => [
      {
        key: "instance",
        head: "Instance",
        sort: (x) => `${x.i.service}/${x.i.env} ${x.i.instance}`,
        cell: ({ i }) => (
          <>
            <a href={href(servicePath(i.service), { env: i.env, i: i.instance })} data-in data-item>
              {i.service}
            </a>{" "}
            <span class="dim">
              {i.env} {i.version}
            </span>
            <span class="dim address">{i.instance}</span>
          </>
        ),
      },
      {
        key: "state",
        head: "State",
        sort: (x) => rank(x.h, x.i),
        cell: ({ i, h, since }) => (
          <span class="wrap">
            <span class={h.level || "dim"}>
              {signs[h.level]}
              {h.word}
            </span>
            {since != null && <span class="dim"> since {at(since, zone, now)}</span>}
            {reasonOf(i) && <span class="dim">: {reasonOf(i)}</span>}
          </span>
        ),
      },
      { key: "age", head: "Age", num: true, sort: (x) => x.i.age_ms, cell: ({ i }) => span(i.age_ms) },
      {
        key: "rate",
        head: "Requests",
        sort: (x) => x.i.rate,
        cell: (x) => <Line of={x} signal="rate" span={shown} says={rate(x.i.rate)} />,
      },
      {
        key: "errors",
        head: "Errors",
        sort: (x) => errorsOf(x.i),
        cell: (x) => <Line of={x} signal="error_ratio" span={shown} says={percent(errorsOf(x.i))} level={x.failing} />,
      },
      {
        key: "latency",
        head: "Latency",
        sort: (x) => latencyOf(x.i),
        cell: (x) => <Line of={x} signal="latency" span={shown} says={milliseconds(latencyOf(x.i))} level={x.slow} />,
      },
    ],
    [href, zone, now, shown],
  );
  const bad = rows.filter((x) => x.h.level !== "");
  const worst = bad.some((x) => x.h.level === "bad") ? "bad" : bad.length ? "warn" : "";
  const each = (pick: (i: OnHost) => string): string[] => [...new Set(rows.map((x) => pick(x.i)).filter(Boolean))].sort();
  const over = ofHost.filter((f) => f.ended != null);
  const late = a ? clock.now() - a.as_of : 0;
  return (
    <>
      <header class="service-head">
        <h1>
          {worst && (
            <span class={`sign ${worst}`} role="img" aria-label={worst === "bad" ? "Bad:" : "Warning:"}>
              {signs[worst]}
            </span>
          )}
          {host} <span class="dim">host</span>
        </h1>
        {a && (
          <p class="facts">
            <span class={worst}>{bad.length > 0 ? `${count(bad.length)} of ${plural(rows.length, "instance")} in trouble` : `${plural(rows.length, "instance")}, none in trouble`}</span>
            <span>{plural(each((i) => i.service).length, "service")}</span>
            {each((i) => i.zone).map((z) => (
              <a key={z} href={href("/roster", { q: "zone:" + z })} data-in>
                zone {z}
              </a>
            ))}
            {each((i) => network(i.tags)).map((n) => (
              <a key={n} href={href("/roster", { q: n.split(" ")[0]?.replace(/^AS/, "as.number:") })} data-in>
                {n}
              </a>
            ))}
            {late > 10_000 || polled.error ? (
              <span class="warn">
                △ as of {span(late)} ago{polled.error ? `: ${polled.error.message}` : ""}
              </span>
            ) : (
              <span>live</span>
            )}
          </p>
        )}
      </header>
      {ofHost
        .filter((f) => f.ended == null)
        .map((f) => (
          <FindingCard key={f.id} f={f} row={undefined} as="brief" here />
        ))}
      {a ? (
        <>
          <h2>
            <span>Side by side</span>
            <span>
              errors 0…{axisText(percent(rows[0]?.errors.hi))}, requests and latency with the usual in the middle · {span(shown.to - shown.from)}
            </span>
          </h2>
          <Table
            name="t-host"
            label={`Instances on ${host}`}
            columns={columns}
            rows={rows}
            keyOf={(x) => `${x.i.service}/${x.i.env}/${x.i.instance}`}
            sort={query.sort ?? "state"}
            onSort={(sort) => router.change({ sort: sort === "state" ? undefined : sort })}
            rowTestId="host-row"
            attrs={(x) => ({ "data-service": x.i.service, "data-level": x.h.level || "ok" })}
          />
          {over.length > 0 && (
            <section aria-label="Lately over">
              <h2>
                <span>Lately over</span>
              </h2>
              <ul class="endeds">
                {over.map((f) => (
                  <EndedFinding key={f.id} f={f} />
                ))}
              </ul>
            </section>
          )}
        </>
      ) : (
        <section class="calm" aria-busy={!polled.error}>
          <p class="big">{polled.error instanceof Refusal && polled.error.status === 404 ? "Nobody is known on this host." : polled.error ? "Nothing is known yet." : "Calling the roll …"}</p>
          {polled.error && <p class="dim">{polled.error.message}.</p>}
        </section>
      )}
    </>
  );
}

interface LineProps {
  of: Judged;
  signal: "rate" | "error_ratio" | "latency";
  span: Span;
  says: string;
  level?: Level | "";
}

/** Line is one signal of one instance: all on one scale, which for requests and latency is what is usual. */
function Line({ of, signal, span, says, level = "" }: LineProps) {
  const l = of.i.lines;
  const values = l?.[signal];
  const drawn = useMemo(() => {
    if (!l || !values) return null;
    const quiet = before(values, l.t0, l.step, of.wrong);
    const scale = signal === "error_ratio" ? of.errors : usualScale(values, quiet);
    return { scale, usual: band(quiet, scale) };
  }, [values, of.errors.hi, of.wrong]);
  return (
    <span class={`sparked ${level}`}>
      {l && values && drawn && (
        <Spark label={`${signal === "error_ratio" ? "errors" : signal} of ${of.i.instance}, now ${says}`} values={values} t0={l.t0} step={l.step} span={span} scale={drawn.scale} usual={drawn.usual} level={level} />
      )}
      <b class="figure">{says}</b>
    </span>
  );
}
