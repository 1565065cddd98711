// The roster: everyone who should answer or lately should have, why those who are not there are missing, and how far each source can be believed.
import { useEffect, useMemo, useState } from "preact/hooks";
import type { RosterEntry, SourceView } from "../api/rostered";
import { getGuards, getRoster } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Table, type Column } from "../parts/table";
import { Collectors } from "../roster/collectors";
import { Ensemble } from "../roster/ensemble";
import { gravity, levelOf, order, stateOf } from "../roster/grave";
import { signs } from "../say/level";
import { Guards, Unasked } from "../roster/guards";
import { Paths } from "../roster/paths";
import { Sources } from "../roster/sources";
import { Why } from "../roster/why";
import { count, plural } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useEnv, useHref, useNow, useRegion, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";

const keyOf = (e: RosterEntry): string => `${e.service}/${e.env}/${e.instance}/${e.path}/${e.member}`;

/** idOf is what the collector calls an entry. */
const idOf = (e: RosterEntry): string => (e.instance ? `${e.service}/${e.env}/${e.instance}` : `${e.path}/${e.member}`);

/** pageSize is how many rows come at first, and more at each asking. */
const pageSize = 1000;

/** note is the reason, and what excuses the one who left. */
const note = (e: RosterEntry): string =>
  [e.reason, e.excuse && (e.reason ? `(${e.excuse})` : e.excuse), e.flaps ? `came and went ${count(e.flaps)}×` : ""].filter(Boolean).join(" ");

export function Roster() {
  const { router, clock } = useApp();
  const { query } = useRoute();
  const env = useEnv();
  const region = useRegion();
  const href = useHref();
  const zone = useZone();
  const now = useNow();
  const state = query.state ?? "";
  const q = query.q ?? "";
  const sort = query.sort ?? "-state";
  const byPath = query.view === "paths";
  const limit = Math.max(pageSize, Number(query.n) || 0);
  const asked = useLater(q, 200);
  const polled = usePoll(
    JSON.stringify([env, region, state, asked, sort, limit]),
    limit > pageSize ? 20_000 : 5000,
    (signal) => getRoster({ env, region, state, q: byPath ? "" : asked, sort, limit: String(limit) }, signal),
    true,
  );
  const guards = usePoll("guards", 5000, getGuards, true).data;
  const a = polled.data;
  const entries = a?.entries ?? [];
  const all = Object.values(a?.counts ?? {}).reduce((n, c) => n + c, 0);
  const views = useMemo(() => new Map((a?.views ?? []).map((v): [string, SourceView] => [v.source, v])), [a]);
  const collectors = new Set(entries.map((e) => e.by).filter(Boolean)).size;
  const columns = useMemo<Column<RosterEntry>[]>(() => {
    const ago = (t: number | null): string => (t ? `${span(now - t)} ago` : "–");
    const verified = (e: RosterEntry): number | null => {
      const v = views.get(e.source ?? "");
      return v?.live && v.last_heard && e.state !== "departed" && e.state !== "unconfirmed" ? Math.max(v.last_heard, e.verified ?? 0) : e.verified;
    };
    const list: Column<RosterEntry>[] = [
      {
        key: "instance",
        head: "Instance",
        sort: (e) => e.instance,
        cell: (e) => (
          <button
            type="button"
            class="link"
            aria-expanded={query.who === idOf(e)}
            title="Why is it as it is?"
            data-item
            onClick={() => router.change({ who: query.who === idOf(e) ? undefined : idOf(e) })}
          >
            {e.instance || e.member || "–"}
          </button>
        ),
      },
      {
        key: "service",
        head: "Service",
        sort: (e) => e.service,
        cell: (e) =>
          e.service ? (
            <a href={href(servicePath(e.service), { env: e.env, i: e.instance || undefined })} data-in>
              {e.service}
            </a>
          ) : (
            "–"
          ),
      },
      { key: "owner", head: "Owner", sort: (e) => e.owner, cell: (e) => <span class="wrap">{e.owner || <span class="dim">–</span>}</span> },
      {
        key: "state",
        head: "State and reason",
        sort: gravity,
        cell: (e) => (
          <span title={note(e)}>
            <span class={levelOf(stateOf(e)) || "dim"}>
              {signs[levelOf(stateOf(e))]}
              {stateOf(e)}
            </span>
            <span class="dim"> {note(e)}</span>
          </span>
        ),
      },
      {
        key: "since",
        head: "For",
        num: true,
        sort: (e) => e.since && -e.since,
        cell: (e) => <span title={e.since ? at(e.since, zone, now) : ""}>{e.since ? span(now - e.since) : "–"}</span>,
      },
      {
        key: "joined",
        head: "Joined",
        num: true,
        sort: (e) => e.joined,
        cell: (e) => <span title={e.joined ? at(e.joined, zone, now) : ""}>{ago(e.joined)}</span>,
      },
      {
        key: "verified",
        head: "Verified",
        num: true,
        sort: verified,
        cell: (e) => (e.format === "static" ? <span class="dim">fixed</span> : ago(verified(e))),
      },
      { key: "by", head: "Pulled by", sort: (e) => e.by, cell: (e) => <span title={e.by ?? ""}>{e.by ? e.by.slice(0, 8) : "–"}</span> },
      {
        key: "path",
        head: "Path and member",
        sort: (e) => e.path,
        cell: (e) => (
          <span class="wrap" title={e.member}>
            {e.path || "–"}
            {e.member && !(e.instance && e.member.includes(e.instance)) && <span class="dim">/{e.member}</span>} <span class="dim">{e.format}</span>
          </span>
        ),
      },
    ];
    return collectors > 1 ? list : list.filter((c) => c.key !== "by");
  }, [href, zone, Math.floor(now / 1000), query.who, views, collectors > 1]);
  const shown = [...order, ...Object.keys(a?.counts ?? {}).filter((s) => !order.includes(s))];
  const countOf = (s: string): number => (s === "missing" ? (a?.missing ?? 0) : (a?.counts?.[s] ?? 0));
  return (
    <>
      <div class="bar">
        <h1>Roster</h1>
        <div class="seg" role="group" aria-label="View">
          <button type="button" aria-pressed={!byPath} onClick={() => router.change({ view: undefined }, false)}>
            Instances
          </button>
          <button type="button" aria-pressed={byPath} onClick={() => router.change({ view: "paths" }, false)} data-testid="view-paths">
            Paths
          </button>
        </div>
        <input
          type="search"
          class="filter"
          placeholder={byPath ? "Path, service, job" : "Service, owner, host, path, reason"}
          aria-label="Search the roster"
          value={q}
          onInput={(e) => router.change({ q: e.currentTarget.value })}
        />
        {a && !byPath && (
          <span class="dim">
            {plural(a.total ?? entries.length, "entry", "entries")}
            {a.total != null && a.total > entries.length && `, the first ${count(entries.length)} shown`}
          </span>
        )}
        {polled.error && (
          <span class="warn" role="status">
            △ {polled.error.message}
            {a ? `; as of ${span(clock.now() - a.as_of)} ago` : ""}
          </span>
        )}
      </div>
      <Guards answer={guards} />
      {a && !byPath && (
        <div class="counts" role="group" aria-label="States" data-testid="roster-counts">
          <button type="button" aria-pressed={state === ""} onClick={() => router.change({ state: undefined }, false)}>
            <b>{count(all)}</b> in all
          </button>
          {shown
            .filter((s) => countOf(s) > 0 || s === state)
            .map((s) => (
              <button
                key={s}
                type="button"
                aria-pressed={state === s}
                class={levelOf(s)}
                onClick={() => router.change({ state: state === s ? undefined : s }, false)}
                data-state={s}
              >
                <b>
                  {signs[levelOf(s)]}
                  {count(countOf(s))}
                </b>{" "}
                {s}
                {s === "departed" && countOf("missing") > 0 && ", with the missing"}
              </button>
            ))}
        </div>
      )}
      {a && <Sources views={a.views ?? []} now={now} />}
      <Unasked answer={guards} />
      <Collectors />
      {byPath ? (
        <Paths q={asked} />
      ) : a ? (
        <Table
          name={collectors > 1 ? "t-roster shared" : "t-roster"}
          label="Roster"
          columns={columns}
          rows={entries}
          keyOf={keyOf}
          sort={sort}
          onSort={(by) => router.change({ sort: by === "-state" ? undefined : by === "state" && sort !== "-state" ? undefined : by })}
          rowTestId="roster-row"
          rowClass={(e) => (query.who === idOf(e) ? "open" : "")}
          attrs={(e) => ({ "data-state": stateOf(e) })}
          below={(e) => (query.who === idOf(e) ? <Why id={idOf(e)} /> : null)}
          empty={q || state ? "Nobody fits." : <Nobody />}
          after={
            (a.total ?? 0) > entries.length ? (
              <button type="button" class="link more" onClick={() => router.change({ n: String(limit + 4 * pageSize) })}>
                Show more of the {count(a.total)}
              </button>
            ) : undefined
          }
        />
      ) : (
        !polled.error && <p class="empty">Calling the roll …</p>
      )}
      <Ensemble />
    </>
  );
}

const Nobody = () => (
  <>
    Nobody is on the roster of this environment. An application registers with <code>rollcall-agent register -s NAME -e ENV -p PORT --zookeeper=HOST:PORT</code>, and appears within a second.
  </>
);

/** useLater is the value once it has stood still for a while: a question a keystroke would be too many. */
function useLater<T>(value: T, ms: number): T {
  const [late, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return late;
}
