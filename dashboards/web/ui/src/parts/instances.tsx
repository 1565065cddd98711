// Who of a service is there, how each is, and since when.
import { useMemo } from "preact/hooks";
import type { Instance, Usual } from "../api/answers";
import { signs } from "../say/level";
import { count, milliseconds, percent, plural, rate } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useHref, useNow, useRoute, useZone } from "../state/app";
import { hostPath } from "../state/route";
import { alike, errorsOf, health, latencyOf, network, rank, reasonOf, usual } from "./health";
import { Heat, type HeatBy, type Judged } from "./heat";
import { matcher } from "./match";
import { Table, type Column } from "./table";

/** So many rows before the rest is asked for: the worst come first, and the metrics beneath stay in reach. */
const firstRows = 15;

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

interface Props {
  all: Instance[];
  fresh: boolean;
  before: Usual | undefined;
  /** hit are the service's signals that are in trouble, joined by commas: a new list of the same is no news. */
  hit: string;
}

export function Instances({ all, fresh, before, hit }: Props) {
  const { router } = useApp();
  const { query } = useRoute();
  const now = useNow();
  const zone = useZone();
  const { judged, together } = useMemo(() => {
    const u = usual(all, before, hit.split(","));
    const judged: Judged[] = all.map((i) => ({ i, h: health(i, u) }));
    return {
      judged,
      together: alike(
        all,
        judged.map((x) => x.h),
        u,
      ),
    };
  }, [all, hit]);
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
  // A column that nobody has anything for would only make the others narrow: what else is known of an instance is said below its row.
  const tracked = all.some((i) => i.track);
  const networked = all.some((i) => network(i.tags));
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
        sort: (x) => rank(x.h, x.i),
        cell: ({ i, h }) => (
          <>
            <span class={h.level || "dim"}>
              {signs[h.level]}
              {h.word}
            </span>
            {reasonOf(i) && <span class="dim wrap"> {reasonOf(i)}</span>}
          </>
        ),
      },
      { key: "age", head: "Age", num: true, sort: (x) => x.i.age_ms, cell: ({ i }) => span(i.age_ms) },
      { key: "version", head: "Version", sort: (x) => x.i.version, cell: ({ i }) => i.version || "–" },
      { key: "zone", head: "Zone", sort: (x) => x.i.zone, cell: ({ i }) => i.zone || "–" },
      ...(tracked ? [{ key: "track", head: "Track", sort: (x: Judged) => x.i.track, cell: ({ i }: Judged) => i.track || "–" }] : []),
      { key: "host", head: "Host", sort: (x) => x.i.host, cell: ({ i }) => <HostLink i={i} /> },
      ...(networked ? [{ key: "network", head: "Network", sort: (x: Judged) => network(x.i.tags), cell: ({ i }: Judged) => network(i.tags) || "–" }] : []),
      { key: "rate", head: "Rate", num: true, sort: (x) => x.i.rate, cell: ({ i }) => rate(i.rate) },
      { key: "errors", head: "Errors", num: true, sort: (x) => errorsOf(x.i), cell: ({ i }) => percent(errorsOf(i)) },
      { key: "latency", head: "Latency", num: true, sort: (x) => latencyOf(x.i), cell: ({ i }) => milliseconds(latencyOf(i)) },
    ],
    [open, tracked, networked],
  );
  return (
    <section id="instances" aria-label="Instances" class={fresh ? "" : "stale"}>
      <h2>
        <span>Instances</span>
        <span>
          {together && <span class="bad">▲ {together}. </span>}
          {inTrouble > 0
            ? `${count(inTrouble)} of ${plural(all.length, "instance")} in trouble`
            : `${plural(all.length, "instance")}, none in trouble`}
          , errors and latency of the last half minute
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
        name={["t-instances", tracked && "tracked", networked && "networked"].filter(Boolean).join(" ")}
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
    ["state", [i.missing ? "missing" : i.state, i.reason, i.excuse].filter(Boolean).join(": ")],
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
