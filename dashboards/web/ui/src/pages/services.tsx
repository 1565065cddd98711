// Every service of the environment in one table, by trouble.
import { useMemo } from "preact/hooks";
import { rowKey, type Row } from "../api/contract";
import { matcher } from "../parts/match";
import { figures, latencyName } from "../parts/signals";
import { Table, type Column } from "../parts/table";
import { count, percent, plural } from "../say/number";
import { useApp, useEnv, useHref, useRoute } from "../state/app";
import { servicePath } from "../state/route";
import { useStore } from "../state/store";

/** moving are the columns that are others each second. */
const moving: ReadonlySet<string> = new Set(["rate", "errors", "latency"]);

const words = ["calm", "warning", "bad"] as const;
const levels = ["", "warn", "bad"] as const;

const fields = (r: Row): Record<string, string> => ({
  service: r.service,
  owner: r.owner,
  state: words[r.trouble],
  why: (r.why ?? []).join(" "),
  version: (r.versions ?? []).map((v) => v.version).join(" "),
});

export function Services() {
  const { stream, router } = useApp();
  const known = useStore(stream.known);
  const { query } = useRoute();
  const env = useEnv();
  const href = useHref();
  const q = query.q ?? "";
  const sort = query.sort ?? "trouble";
  // Of thousands of rows the figures are asked for that are seen, or sorted by: all else stands for longer than a second.
  const all = known.rows;
  const rows = useMemo(() => {
    const passes = matcher(q);
    return all.all().filter((r) => r.env === env && passes(fields(r)));
  }, [known.said, env, q]);
  const columns = useMemo<Column<Row>[]>(() => {
    const now = (r: Row): Row => all.get(rowKey(r)) ?? r;
    return [
      {
        key: "service",
        head: "Service",
        sort: (r) => r.service,
        cell: (r) => (
          <a href={href(servicePath(r.service), { env: r.env })} data-in data-item>
            {r.service}
          </a>
        ),
      },
      {
        key: "trouble",
        head: "State",
        num: false,
        // Descending trouble, then names: "trouble" sorts the worst first.
        sort: (r) => 2 - r.trouble + r.service,
        cell: (r) => (
          <span class={levels[r.trouble] || "dim"}>
            {r.trouble > 0 && <span aria-hidden="true">{r.trouble === 2 ? "▲ " : "△ "}</span>}
            {r.why?.length ? r.why.join(" · ") : words[r.trouble]}
          </span>
        ),
      },
      { key: "owner", head: "Owner", sort: (r) => r.owner, cell: (r) => r.owner || "–" },
      {
        key: "missing",
        head: "Answering",
        num: true,
        sort: (r) => r.expected - r.answering,
        cell: (r) => <span class={r.answering < r.expected ? "warn" : ""}>{figures(r, -1).answering}</span>,
      },
      { key: "rate", head: "Rate", num: true, sort: (r) => all.figure(rowKey(r), "rate"), cell: (r) => figures(now(r), -1).rate },
      { key: "errors", head: "Errors", num: true, sort: (r) => all.figure(rowKey(r), "error_ratio"), cell: (r) => percent(now(r).error_ratio) },
      {
        key: "latency",
        head: "Latency",
        num: true,
        sort: (r) => all.figure(rowKey(r), "latency"),
        cell: (r) => (
          <>
            {figures(now(r), -1).latency} <span class="dim">{r.latency ? latencyName(r) : ""}</span>
          </>
        ),
      },
      {
        key: "versions",
        head: "Versions",
        cell: (r) => (r.versions ?? []).map((v) => `${v.version || "unknown"} × ${count(v.n)}`).join(", ") || "–",
      },
    ];
  }, [href, all]);
  return (
    <>
      <div class="bar">
        <h1>Services</h1>
        <input
          type="search"
          class="filter"
          placeholder="Filter: name, owner:payments, version:1.42"
          aria-label="Filter services"
          value={q}
          onInput={(e) => router.change({ q: e.currentTarget.value })}
        />
        <span class="dim">{plural(rows.length, "service")}</span>
      </div>
      <Table
        name="t-services"
        label="Services"
        columns={columns}
        rows={rows}
        keyOf={rowKey}
        at={moving.has(sort.replace(/^-/, "")) ? known.asOf : 0}
        sort={sort}
        onSort={(sort) => router.change({ sort: sort === "trouble" ? undefined : sort })}
        rowTestId="services-row"
        attrs={(r) => ({ "data-service": r.service, "data-trouble": String(r.trouble) })}
        empty={q ? "No service fits this filter." : "No service is known in this environment."}
      />
    </>
  );
}
