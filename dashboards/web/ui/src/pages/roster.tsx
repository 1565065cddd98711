// The roster: everyone who should answer or lately should have, why those who are not there are missing, and how far each source can be believed.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { RosterEntry, SourceView } from "../api/contract";
import { getRoster } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Table, type Column } from "../parts/table";
import { count, plural } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useEnv, useHref, useNow, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";

/** states in the order of the roster's life, and how grave each is. What is present or kept out on purpose is no trouble. */
const states = new Map<string, "" | "warn" | "bad">([
  ["present", ""],
  ["unconfirmed", "warn"],
  ["quarantined", "warn"],
  ["failing", "bad"],
  ["departed", "warn"],
  ["unparsable", "bad"],
  ["filtered", ""],
]);
const order = [...states.keys()];
const levelOf = (state: string): "" | "warn" | "bad" => states.get(state) ?? "warn";
const signs = { bad: "▲ ", warn: "△ ", "": "" } as const;

const keyOf = (e: RosterEntry): string => `${e.service}/${e.env}/${e.instance}/${e.path}/${e.member}`;

export function Roster() {
  const { router, clock } = useApp();
  const { query } = useRoute();
  const env = useEnv();
  const href = useHref();
  const zone = useZone();
  const now = useNow();
  const state = query.state ?? "";
  const q = query.q ?? "";
  const asked = useLater(q, 200);
  const size = useRef(0);
  const polled = usePoll(
    JSON.stringify([env, state, asked]),
    size.current > 3000 ? 30_000 : 5000,
    (signal) => getRoster({ env, state, q: asked }, signal),
    true,
  );
  const a = polled.data;
  const entries = a?.entries ?? [];
  size.current = entries.length;
  const total = Object.values(a?.counts ?? {}).reduce((n, c) => n + c, 0);
  const ago = (t: number | null): string => (t ? `${span(now - t)} ago` : "–");
  const columns = useMemo<Column<RosterEntry>[]>(
    () => [
      {
        key: "instance",
        head: "Instance",
        sort: (e) => e.instance,
        cell: (e) =>
          e.instance ? (
            <a href={href(servicePath(e.service), { env: e.env, i: e.instance })} data-in data-item>
              {e.instance}
            </a>
          ) : (
            <span class="dim">{e.member || "–"}</span>
          ),
      },
      {
        key: "service",
        head: "Service",
        sort: (e) => e.service,
        cell: (e) =>
          e.service ? (
            <a href={href(servicePath(e.service), { env: e.env })} data-in>
              {e.service}
            </a>
          ) : (
            "–"
          ),
      },
      {
        key: "state",
        head: "State and reason",
        sort: (e) => order.indexOf(e.state) + e.state,
        cell: (e) => (
          <>
            <span class={levelOf(e.state) || "dim"}>
              {signs[levelOf(e.state)]}
              {e.state}
            </span>
            {e.reason && <span class="dim"> {e.reason}</span>}
          </>
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
      { key: "verified", head: "Verified", num: true, sort: (e) => e.verified, cell: (e) => ago(e.verified) },
      { key: "format", head: "Format", sort: (e) => e.format, cell: (e) => e.format || "–" },
      { key: "path", head: "Path and member", sort: (e) => e.path, cell: (e) => `${e.path}${e.member ? "/" + e.member : ""}` || "–" },
    ],
    [href, zone, Math.floor(now / 1000)],
  );
  return (
    <>
      <div class="bar">
        <h1>Roster</h1>
        <input
          type="search"
          class="filter"
          placeholder="Service, host, path, reason"
          aria-label="Search the roster"
          value={q}
          onInput={(e) => router.change({ q: e.currentTarget.value })}
        />
        {a && (
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
      {a && (
        <div class="counts" role="group" aria-label="States" data-testid="roster-counts">
          <button type="button" aria-pressed={state === ""} onClick={() => router.change({ state: undefined }, false)}>
            <b>{count(total)}</b> in all
          </button>
          {[...new Set([...order, ...Object.keys(a.counts ?? {})])]
            .filter((s) => (a.counts?.[s] ?? 0) > 0 || s === state)
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
                  {count(a.counts?.[s] ?? 0)}
                </b>{" "}
                {s}
              </button>
            ))}
        </div>
      )}
      {a && <Sources views={a.views ?? []} now={now} />}
      {a ? (
        <Table
          name="t-roster"
          label="Roster"
          columns={columns}
          rows={entries}
          keyOf={keyOf}
          sort={query.sort ?? "-state"}
          onSort={(sort) => router.change({ sort: sort === "-state" ? undefined : sort })}
          rowTestId="roster-row"
          attrs={(e) => ({ "data-state": e.state })}
          empty={q || state ? "Nobody fits." : "Nobody is on the roster of this environment."}
        />
      ) : (
        !polled.error && <p class="empty">Calling the roll …</p>
      )}
    </>
  );
}

function Sources({ views, now }: { views: SourceView[]; now: number }) {
  if (views.length === 0) return null; // a server that only reads the topic has no sources of its own
  return (
    <ul class="sources" aria-label="Sources" data-testid="sources">
      {views.map((v) => {
        const level = !v.connected ? "bad" : v.read_only || v.error ? "warn" : "";
        const word = !v.connected ? "not connected" : v.read_only ? "read-only: its server has lost the quorum" : "connected";
        return (
          <li key={v.source}>
            <b>{v.source}</b>{" "}
            <span class={level}>
              {signs[level]}
              {word}
            </span>
            {v.server && <span class="dim"> {v.server}</span>}
            <span class="dim"> heard {v.last_heard ? `${span(now - v.last_heard)} ago` : "never"}</span>
            {v.error && <span class={level || "warn"}> {v.error}</span>}
            {!v.connected && <span class="dim">: its members stay on the roster as last seen, and scraping goes on</span>}
          </li>
        );
      })}
    </ul>
  );
}

/** useLater is the value once it has stood still for a while: a question a keystroke would be too many. */
function useLater<T>(value: T, ms: number): T {
  const [late, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return late;
}
