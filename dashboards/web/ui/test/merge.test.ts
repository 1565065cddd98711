import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding, NowEvent, Row } from "../src/api/contract";
import { merge, nothing, sorted, withSpark } from "../src/api/merge";
import { sseParser, type ServerEvent } from "../src/api/sse";

const row = (service: string, more: Partial<Row> = {}): Row => ({
  service, env: "prod", owner: "home", expected: 4, present: 4, answering: 4, trouble: 0, why: [], rate: 10, errors: 0, error_ratio: 0,
  latency: { name: "p99", lo: 9, hi: 11, est: 10 }, versions: [], ...more,
});
const spark = { t0: 1000, step: 10, rate: [1, 2], error_ratio: [0, 0], latency: [5, 6], answering: [4, 4] };
const finding = (id: string, more: Partial<Finding> = {}): Finding => ({
  id, level: "warn", service: "a", env: "prod", metric: "errors", since: 1, ended: null, title: "", news: "", only: "", cleared: [], events: [], ...more,
});
const full: NowEvent = { full: true, as_of: 1015, demo: true, envs: ["prod"], services: [row("a", { spark }), row("b")], findings: [finding("f1")] };

test("a whole event replaces everything", () => {
  const k = merge(merge(nothing, full), { full: true, as_of: 2000, services: [row("c")] });
  assert.deepEqual([...k.rows.keys()], ["c/prod"]);
  assert.equal(k.demo, false);
  assert.deepEqual(k.findings, []);
});

test("a change touches only the rows it names, and keeps what it does not mention", () => {
  const was = merge(nothing, full);
  const k = merge(was, { as_of: 1016, services: [row("b", { rate: 11 })] });
  assert.equal(k.rows.get("a/prod"), was.rows.get("a/prod"));
  assert.equal(k.rows.get("b/prod")?.rate, 11);
  assert.equal(k.demo, true);
  assert.deepEqual(k.findings, was.findings);
  assert.equal(merge(was, { as_of: 1016 }).rows, was.rows);
});

test("rows that are gone go, also when they come back in the same event", () => {
  assert.equal(merge(merge(nothing, full), { as_of: 1016, gone: ["a/prod", "x/prod"] }).rows.size, 1);
  const k = merge(merge(nothing, full), { as_of: 1016, gone: ["b/prod"], services: [row("b")] });
  assert.equal(k.rows.size, 2);
});

test("figures without a spark move its last point", () => {
  const r = withSpark(row("a", { spark }), row("a", { rate: 7, error_ratio: null, latency: null, answering: 3 }), 1015);
  assert.deepEqual(r.spark, { t0: 1000, step: 10, rate: [1, 7], error_ratio: [0, null], latency: [5, null], answering: [4, 3] });
  assert.deepEqual(spark.rate, [1, 2]);
});

test("figures from long after the last point do not move it", () => {
  assert.deepEqual(withSpark(row("a", { spark }), row("a", { rate: 7 }), 1030).spark, spark);
});

test("sorted: trouble by level and weight, calm by owner and name, one environment", () => {
  const k = merge(nothing, {
    full: true, as_of: 1, envs: [],
    services: [
      row("z"), row("y", { owner: "core" }), row("nobody", { owner: "" }), row("w1", { trouble: 1, errors: 1 }), row("w2", { trouble: 1, errors: 5 }),
      row("bad", { trouble: 2 }), row("other", { env: "staging", trouble: 2 }),
    ],
    findings: [finding("old", { ended: 5 }), finding("w", { since: 9 }), finding("b", { level: "bad", since: 2 }), finding("s", { env: "staging" })],
  });
  const s = sorted(k, "prod");
  assert.deepEqual(s.trouble.map((r) => r.service), ["bad", "w2", "w1"]);
  assert.deepEqual(s.calm.map(([o, rows]) => [o, rows.map((r) => r.service)]), [["core", ["y"]], ["home", ["z"]], ["", ["nobody"]]]);
  assert.deepEqual(s.open.map((f) => f.id), ["b", "w"]);
  assert.deepEqual(s.ended.map((f) => f.id), ["old"]);
});

test("server-sent events arrive in any pieces", () => {
  const text = "event: now\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n: still here\n\ndata:x\rdata:  y\r\revent: lonely\n\n";
  const want: ServerEvent[] = [{ event: "now", data: '{"a":\n1}' }, { event: "message", data: "x\n y" }];
  for (let size = 1; size < text.length; size++) {
    const got: ServerEvent[] = [];
    const feed = sseParser((e) => got.push(e));
    for (let i = 0; i < text.length; i += size) feed(text.slice(i, i + size));
    assert.deepEqual(got, want, `in pieces of ${size}`);
  }
});
