// Who of a service is there, how each is, and since when.
import { useMemo } from "preact/hooks";
import type { Instance } from "../api/answers";
import { gravity, signs } from "../say/level";
import { count, milliseconds, percent, plural, rate } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useHref, useNow, useRoute, useZone } from "../state/app";
import { hostPath } from "../state/route";
import { health, usual } from "./health";
import { Heat, type HeatBy, type Judged } from "./heat";
import { matcher } from "./match";
import { Table, type Column } from "./table";

/** So many rows before the rest is asked for: the worst come first, and the metrics beneath stay in reach. */
const firstRows = 15;

/** network is who announces the address, where the enricher knew: short enough for a column. */
function network(tags: Record<string, string> | null): string {
  const org = tags?.["host.as.organization.name"] ?? tags?.["as.organization.name"];
  const number = tags?.["host.as.number"] ?? tags?.["as.number"];
  return [number && "AS" + number, org].filter(Boolean).join(" ");
}

const inColumns = new Set([
  "cloud.availability_zone",
  "service.version",
  "rollcall.track",
  "host.name",
  "service.name",
  "deployment.environment.name",
]);

const rest = (i: Instance): [string, string][] =>
  Object.entries(i.tags ?? {})
    .filter(([k]) => !inColumns.has(k) && !k.startsWith("rollcall."))
    .sort();

const fields = ({ i, h }: Judged): Record<string, string> => ({
  ...i.tags,
  ...i.facts,
  instance: i.instance,
  host: i.host,
  state: i.state,
  health: h.word,
  reason: `${i.reason} ${i.outcome_reason}`,
  outcome: i.outcome,
  version: i.version,
  zone: i.zone,
  track: i.track,
});

export function Instances({ all, fresh }: { all: Instance[]; fresh: boolean }) {
  const { router } = useApp();
  const { query } = useRoute();
  const now = useNow();
  const zone = useZone();
  const judged = useMemo<Judged[]>(() => {
    const u = usual(all);
    return all.map((i) => ({ i, h: health(i, u) }));
  }, [all]);
  const q = query.q ?? "";
  const only = query.only === "trouble";
  const rows = useMemo(() => {
    const passes = matcher(q);
    return judged.filter((x) => (!only || x.h.level !== "") && passes(fields(x)));
  }, [judged, q, only]);
  const whole = query.all === "1" || only || q !== "" || rows.length <= firstRows + 3;
  const inTrouble = judged.filter((x) => x.h.level !== "").length;
  const open = query.i ?? "";
  const pick = (instance: string): void => router.change({ i: open === instance ? undefined : instance });
  const columns = useMemo<Column<Judged>[]>(
    () => [
      {
        key: "instance",
        head: "Instance",
        sort: (x) => x.i.instance,
        cell: ({ i }) => (
          <button type="button" class="link" aria-expanded={open === i.instance} onClick={() => pick(i.instance)} data-item>
            {i.instance}
          </button>
        ),
      },
      {
        key: "state",
        head: "State",
        sort: (x) => gravity[x.h.level] + x.h.word,
        cell: ({ i, h }) => (
          <span class={h.level || "dim"} title={[i.reason, i.outcome_reason].filter(Boolean).join("; ")}>
            {signs[h.level]}
            {h.word}
          </span>
        ),
      },
      { key: "age", head: "Age", num: true, sort: (x) => x.i.age_ms, cell: ({ i }) => span(i.age_ms) },
      { key: "version", head: "Version", sort: (x) => x.i.version, cell: ({ i }) => i.version || "–" },
      { key: "zone", head: "Zone", sort: (x) => x.i.zone, cell: ({ i }) => i.zone || "–" },
      { key: "track", head: "Track", sort: (x) => x.i.track, cell: ({ i }) => i.track || "–" },
      { key: "host", head: "Host", sort: (x) => x.i.host, cell: ({ i }) => <HostLink i={i} /> },
      {
        key: "network",
        head: "Network, tags",
        sort: (x) => network(x.i.tags),
        cell: ({ i }) =>
          network(i.tags) ||
          rest(i)
            .map(([k, v]) => `${k.split(".").pop()}=${v}`)
            .join(" ") ||
          "–",
      },
      { key: "rate", head: "Rate", num: true, sort: (x) => x.i.rate, cell: ({ i }) => rate(i.rate) },
      { key: "errors", head: "Errors", num: true, sort: (x) => x.i.error_ratio, cell: ({ i }) => percent(i.error_ratio) },
      { key: "latency", head: "Latency", num: true, sort: (x) => x.i.latency, cell: ({ i }) => milliseconds(i.latency) },
    ],
    [open],
  );
  return (
    <section id="instances" aria-label="Instances" class={fresh ? "" : "stale"}>
      <h2>
        <span>Instances</span>
        <span>
          {inTrouble > 0
            ? `${count(inTrouble)} of ${plural(all.length, "instance")} in trouble`
            : `${plural(all.length, "instance")}, none in trouble`}
        </span>
      </h2>
      <Heat
        all={judged}
        by={(query.heat as HeatBy) || "zone"}
        onBy={(by) => router.change({ heat: by === "zone" ? undefined : by })}
        onPick={(i) => router.change({ i, q: undefined, only: undefined })}
      />
      <div class="bar">
        <input
          type="search"
          class="filter"
          placeholder="Filter: host, zone:us-east-1c, version:1.42"
          aria-label="Filter instances"
          value={q}
          onInput={(e) => router.change({ q: e.currentTarget.value })}
        />
        <label class="check">
          <input type="checkbox" checked={only} onChange={(e) => router.change({ only: e.currentTarget.checked ? "trouble" : undefined })} /> only
          those in trouble ({count(inTrouble)})
        </label>
        {rows.length < all.length && <span class="dim">{count(rows.length)} shown</span>}
      </div>
      <Table
        name="t-instances"
        label="Instances"
        columns={columns}
        rows={rows}
        most={whole ? undefined : firstRows}
        pin={(x) => x.i.instance === open}
        keyOf={(x) => x.i.instance}
        sort={query.sort ?? "state"}
        onSort={(sort) => router.change({ sort: sort === "state" ? undefined : sort })}
        rowTestId="instance-row"
        rowClass={(x) => (x.i.instance === open ? "open" : "")}
        attrs={(x) => ({ "data-instance": x.i.instance, "data-level": x.h.level || "ok" })}
        below={(x) =>
          x.i.instance === open ? <Detail i={x.i} since={x.i.since ? `${at(x.i.since, zone, now)}, ${span(now - x.i.since)} ago` : "–"} /> : null
        }
        after={
          !whole && (
            <button type="button" class="link more" onClick={() => router.change({ all: "1" })} data-testid="all-instances">
              Show all {count(rows.length)}
            </button>
          )
        }
        empty={all.length ? "No instance fits this filter." : "No instance is on the roster of this service."}
      />
    </section>
  );
}

/** HostLink leads to all that is on the same machine: by its name, or else its address. */
function HostLink({ i }: { i: Instance }) {
  const href = useHref();
  const host = i.host || i.instance.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return host ? (
    <a href={href(hostPath(host))} data-in data-testid="host-link">
      {host}
    </a>
  ) : (
    <>–</>
  );
}

function Detail({ i, since }: { i: Instance; since: string }) {
  const facts: [string, preact.ComponentChildren][] = [
    ["host", <HostLink i={i} />],
    ["state", i.state + (i.reason ? `: ${i.reason}` : "")],
    ["since", since],
    ["last scrape", (i.outcome || "none yet") + (i.outcome_reason ? `: ${i.outcome_reason}` : "")],
    ["took", milliseconds(i.took_ms)],
    ...Object.entries(i.tags ?? {}).sort(),
    ...Object.entries(i.facts ?? {}).sort(),
  ];
  return (
    <div class="detail" role="cell" data-testid="instance-detail">
      <dl>
        {facts.map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>{v}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
