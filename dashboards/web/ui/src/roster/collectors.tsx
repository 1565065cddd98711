// Who collects: how the fleet is divided, how far each has delivered, and what the ledger makes of what came.
import type { CollectorsAnswer, Delivery } from "../api/answers";
import { getCollectors } from "../api/fetch";
import { usePoll } from "../api/poll";
import { signs } from "../say/level";
import { count, milliseconds, percent, plural } from "../say/number";

/** delivered says where a collector's records are: by which lane they went, and what waits where. */
export function delivered(d: Delivery): { text: string; level: "" | "warn" | "bad" } {
  const lanes = Object.entries(d.lanes ?? {}).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const waits = [d.in_memory > 0 && `${count(d.in_memory)} in memory`, d.spooled > 0 && `${count(d.spooled)} on disk`].filter(Boolean);
  const text = [
    `${count(d.acknowledged)} of ${plural(d.scraped, "record")} delivered`,
    lanes.length > 0 && `by the lanes ${lanes.map(([name, n]) => `${name} ${count(n)}`).join(", ")}`,
    waits.length > 0 ? `${waits.join(" and ")} on the way` : "nothing waits",
    d.dropped > 0 ? `${count(d.dropped)} dropped` : "none dropped",
  ];
  return { text: text.filter(Boolean).join("; "), level: d.dropped > 0 ? "bad" : "" };
}

/** ledgered says what became of the records, by their numbers. */
export function ledgered(l: CollectorsAnswer["ledger"]): { text: string; level: "" | "warn" | "bad" } {
  const text = [
    `${plural(l.records_seen, "record")} read`,
    l.records_lost > 0 ? `${count(l.records_lost)} lost` : "none lost",
    l.records_duplicated > 0 ? `${count(l.records_duplicated)} came twice and count once` : "none twice",
    l.records_backfilled > 0 && `${count(l.records_backfilled)} came late`,
    l.records_fenced > 0 && `${count(l.records_fenced)} of slots that two had pulled`,
    l.freshness_ms.count > 0 && `on the page after ${milliseconds(l.freshness_ms.p50)}, 99 % of them within ${milliseconds(l.freshness_ms.p99)}`,
  ];
  return { text: text.filter(Boolean).join("; "), level: l.records_lost > 0 ? "warn" : "" };
}

export function Collectors() {
  const a = usePoll("collectors", 5000, getCollectors, true).data;
  if (!a) return null;
  const all = a.shares.reduce((n, s) => n + s.instances, 0);
  const l = ledgered(a.ledger);
  return (
    <section aria-label="Collectors" data-testid="collectors">
      <h2 class="hidden">Collectors</h2>
      <dl class="accounts">
        {a.shares.length > 0 && (
          <div>
            <dt>{plural(a.shares.length, "collector")}</dt>
            <dd data-testid="shares">
              {a.shares.map((s) => (
                <span key={s.by} class="version">
                  <code>{s.by.slice(0, 8)}</code> pulls <b>{count(s.instances)}</b> <span class="dim">({percent(all ? s.instances / all : null)})</span>
                  <span class="share" aria-hidden="true">
                    <i style={{ width: `${all ? (100 * s.instances) / all : 0}%` }} />
                  </span>
                </span>
              ))}
            </dd>
          </div>
        )}
        {a.collectors.map((c) => {
          const d = c.delivery ? delivered(c.delivery) : null;
          return (
            <div key={c.collector}>
              <dt>{c.collector}</dt>
              <dd data-testid="delivery" class={d ? d.level : "warn"}>
                {d ? signs[d.level] + d.text : `△ ${c.error || "says nothing of its delivery"}`}
              </dd>
            </div>
          );
        })}
        <div>
          <dt>Ledger</dt>
          <dd data-testid="ledger" class={l.level}>
            {signs[l.level]}
            {l.text}
          </dd>
        </div>
      </dl>
    </section>
  );
}
