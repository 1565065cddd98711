import assert from "node:assert/strict";
import { test } from "node:test";
import { delivered, ledgered } from "../src/roster/collectors";

test("a collector's account says where its records are, and what was dropped is loud", () => {
  const d = { scraped: 1200, in_memory: 0, spooled: 0, acknowledged: 1200, dropped: 0 };
  assert.deepEqual(delivered(d), { text: "1,200 of 1,200 records delivered; nothing waits; none dropped", level: "" });
  assert.deepEqual(delivered({ ...d, acknowledged: 1000, in_memory: 7, spooled: 190, dropped: 3, lanes: { backfill: 100, live: 900 } }), {
    text: "1,000 of 1,200 records delivered; by the lanes live 900, backfill 100; 7 in memory and 190 on disk on the way; 3 dropped",
    level: "bad",
  });
});

test("the ledger says what became of the records", () => {
  const l = { records_seen: 10, records_lost: 0, records_duplicated: 0, records_fenced: 0, records_backfilled: 0, freshness_ms: { p50: null, p99: null, count: 0 } };
  assert.deepEqual(ledgered(l), { text: "10 records read; none lost; none twice", level: "" });
  assert.deepEqual(ledgered({ ...l, records_lost: 2, records_duplicated: 1, records_backfilled: 3, freshness_ms: { p50: 800, p99: 1500, count: 5 } }), {
    text: "10 records read; 2 lost; 1 came twice and count once; 3 came late; on the page after 800 ms, 99 % of them within 1.5 s",
    level: "warn",
  });
});
