// One host: every instance on it, of every service, side by side. When a machine is ill, all of them say so.
import { useMemo } from "preact/hooks";
import type { OnHost } from "../api/answers";
import { Refusal, getHost } from "../api/fetch";
import { usePoll } from "../api/poll";
import { health, usual } from "../parts/health";
import { Table, type Column } from "../parts/table";
import { gravity, signs } from "../say/level";
import { count, milliseconds, percent, plural, rate } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useHref, useNow, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";

interface Judged {
  i: OnHost;
  level: "bad" | "warn" | "";
  word: string;
}

export function Host() {
  const { router, clock } = useApp();
  const { service: host, query } = useRoute();
  const href = useHref();
  const zone = useZone();
  const now = useNow();
  const polled = usePoll(host, 2000, (signal) => getHost(host, "", signal));
  const a = polled.data;
  const rows = useMemo<Judged[]>(() => {
    const all = a?.instances ?? [];
    // Different services are no measure of each other's latency: only of each other's age.
    const u = { ...usual(all), errors: 0, latency: 0 };
    return all.map((i) => {
      const h = health(i, u);
      return { i, level: h.level, word: h.word };
    });
  }, [a]);
  const columns = useMemo<Column<Judged>[]>(
    () => [
      {
        key: "instance",
        head: "Instance",
        sort: (x) => x.i.instance,
        cell: ({ i }) => (
          <a href={href(servicePath(i.service), { env: i.env, i: i.instance })} data-in data-item>
            {i.instance}
          </a>
        ),
      },
      { key: "service", head: "Service", sort: (x) => `${x.i.service}/${x.i.env}`, cell: ({ i }) => `${i.service} ${i.env}` },
      {
        key: "state",
        head: "State",
        sort: (x) => gravity[x.level] + x.word,
        cell: ({ i, level, word }) => (
          <span class={level || "dim"} title={[i.reason, i.outcome_reason].filter(Boolean).join("; ")}>
            {signs[level]}
            {word}
          </span>
        ),
      },
      { key: "since", head: "Since", num: true, sort: (x) => x.i.since, cell: ({ i }) => (i.since ? <span title={at(i.since, zone, now)}>{span(now - i.since)}</span> : "–") },
      { key: "age", head: "Age", num: true, sort: (x) => x.i.age_ms, cell: ({ i }) => span(i.age_ms) },
      { key: "version", head: "Version", sort: (x) => x.i.version, cell: ({ i }) => i.version || "–" },
      { key: "rate", head: "Rate", num: true, sort: (x) => x.i.rate, cell: ({ i }) => rate(i.rate) },
      { key: "errors", head: "Errors", num: true, sort: (x) => x.i.error_ratio, cell: ({ i }) => percent(i.error_ratio) },
      { key: "latency", head: "Latency", num: true, sort: (x) => x.i.latency, cell: ({ i }) => milliseconds(i.latency) },
    ],
    [href, zone, Math.floor(now / 10_000)],
  );
  const bad = rows.filter((x) => x.level !== "").length;
  const first = a?.instances?.[0];
  const late = a ? clock.now() - a.as_of : 0;
  return (
    <>
      <header class="service-head">
        <h1>
          {host} <span class="dim">host</span>
        </h1>
        {a && (
          <p class="facts">
            <span class={bad ? "warn" : ""}>
              {bad > 0 && "△ "}
              {bad > 0 ? `${count(bad)} of ${plural(rows.length, "instance")} in trouble` : `${plural(rows.length, "instance")}, none in trouble`}
            </span>
            <span>{plural(new Set(rows.map((x) => x.i.service)).size, "service")}</span>
            {first?.zone && <span>zone {first.zone}</span>}
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
      {a ? (
        <Table
          name="t-host"
          label={`Instances on ${host}`}
          columns={columns}
          rows={rows}
          keyOf={(x) => `${x.i.service}/${x.i.env}/${x.i.instance}`}
          sort={query.sort ?? "state"}
          onSort={(sort) => router.change({ sort: sort === "state" ? undefined : sort })}
          rowTestId="host-row"
          attrs={(x) => ({ "data-service": x.i.service, "data-level": x.level || "ok" })}
        />
      ) : (
        <section class="calm" aria-busy={!polled.error}>
          <p class="big">{polled.error instanceof Refusal && polled.error.status === 404 ? "Nobody is known on this host." : polled.error ? "Nothing is known yet." : "Calling the roll …"}</p>
          {polled.error && <p class="dim">{polled.error.message}.</p>}
        </section>
      )}
    </>
  );
}
