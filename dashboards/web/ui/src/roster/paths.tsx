// The paths view: what each serverset holds, and when that was last known to be so. Those in trouble first.
import { useMemo } from "preact/hooks";
import type { PathState } from "../api/rostered";
import { getPaths } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Table, type Column } from "../parts/table";
import { count } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useHref, useNow, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";
import { signs } from "../say/level";

function trouble(p: PathState): { level: "" | "warn" | "bad"; text: string; weight: number } {
  if (p.guard) return { level: "warn", text: p.guard, weight: 4 };
  if (p.error) return { level: "warn", text: p.error, weight: 3 };
  if (p.loaded) return { level: "warn", text: "from the disk of the last run; not confirmed yet", weight: 3 };
  if (p.stale) return { level: "warn", text: "read from a server without a quorum", weight: 3 };
  if (p.unparsable) return { level: "bad", text: `${count(p.unparsable)} cannot be read`, weight: 2 };
  return { level: "", text: p.live ? "under watch" : "", weight: 0 };
}

/** verifiedAt is a Go time; its zero is "never". */
export const verifiedAt = (p: Pick<PathState, "verified">): number | null => {
  const t = Date.parse(p.verified);
  return Number.isFinite(t) && t > 0 ? t : null;
};

export function Paths({ q }: { q: string }) {
  const { router } = useApp();
  const { query } = useRoute();
  const href = useHref();
  const zone = useZone();
  const now = useNow();
  const polled = usePoll(JSON.stringify(["paths", q]), 5000, (signal) => getPaths(q, signal), true);
  const a = polled.data;
  const columns = useMemo<Column<PathState>[]>(
    () => [
      { key: "path", head: "Path", sort: (p) => p.path, cell: (p) => <span class="wrap">{p.path}</span> },
      {
        key: "service",
        head: "Service",
        sort: (p) => p.service,
        cell: (p) =>
          p.service ? (
            <a href={href(servicePath(p.service), { env: p.env })} data-in>
              {p.service}/{p.env}
            </a>
          ) : (
            "–"
          ),
      },
      { key: "members", head: "Members", num: true, sort: (p) => p.members, cell: (p) => count(p.members) },
      {
        key: "verified",
        head: "Verified",
        num: true,
        sort: (p) => verifiedAt(p),
        cell: (p) => {
          const t = verifiedAt(p);
          if (p.path === "static_configs") return <span class="dim">fixed</span>;
          return <span title={t ? at(t, zone, now) : ""}>{t ? `${span(now - t)} ago` : "never"}</span>;
        },
      },
      {
        key: "note",
        head: "State",
        sort: (p) => -trouble(p).weight,
        cell: (p) => {
          const t = trouble(p);
          return (
            <span class={t.level || "dim"}>
              {signs[t.level]}
              {t.text || "–"}
            </span>
          );
        },
      },
      { key: "source", head: "Job", sort: (p) => p.source, cell: (p) => p.source },
    ],
    [href, zone, Math.floor(now / 1000)],
  );
  if (polled.error && !a) return <p class="warn empty">△ {polled.error.message}</p>;
  if (!a) return <p class="empty">Looking …</p>;
  if (!a.known) return null; // said above
  return (
    <Table
      name="t-paths"
      label="Paths"
      columns={columns}
      rows={a.paths}
      keyOf={(p) => p.source + " " + p.path}
      sort={query.psort ?? "note"}
      onSort={(sort) => router.change({ psort: sort === "note" ? undefined : sort })}
      rowTestId="path-row"
      attrs={(p) => ({ "data-path": p.path })}
      empty={q ? "No path fits." : "No path is known yet."}
      after={a.total > a.paths.length ? <p class="empty">{count(a.total - a.paths.length)} more; search for them.</p> : undefined}
    />
  );
}
