import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding, NowEvent, Row, SparkData } from "../src/api/contract";
import { merge, nothing, sorted } from "../src/api/merge";
import { LiveSpark, Past, stillOf } from "../src/api/past";
import { Rows } from "../src/api/rows";
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
  const [a, b] = [was.rows.get("a/prod"), was.rows.get("b/prod")];
  const k = merge(was, { as_of: 1016, services: [row("b", { rate: 11 })] });
  assert.equal(k.rows.get("a/prod"), a);
  assert.equal(k.rows.get("b/prod")?.rate, 11);
  assert.equal(b?.rate, 10); // what is drawn of a row stays what it was
  assert.equal(k.demo, true);
  assert.deepEqual(k.findings, was.findings);
  assert.notEqual(k.said, was.said);
  assert.equal(k.shape, was.shape);
  assert.equal(merge(k, { as_of: 1016 }).said, k.said);
});

test("rows that are gone go, also when they come back in the same event", () => {
  assert.equal(merge(merge(nothing, full), { as_of: 1016, gone: ["a/prod", "x/prod"] }).rows.size, 1);
  const k = merge(merge(nothing, full), { as_of: 1016, gone: ["b/prod"], services: [row("b")] });
  assert.equal(k.rows.size, 2);
});

const lines = (s: SparkData | undefined): SparkData | undefined =>
  s && { t0: s.t0, step: s.step, rate: s.rate, error_ratio: s.error_ratio, latency: s.latency, answering: s.answering };

const holding = (r: Row, as_of = 1015): Rows => {
  const rows = new Rows();
  rows.take({ as_of, services: [r] });
  return rows;
};

test("figures without a spark move its last point, and nothing else", () => {
  const rows = holding(row("a", { spark }), 1020);
  const still = stillOf(rows.get("a/prod")!.spark!);
  assert.deepEqual(still, spark);
  rows.take({ as_of: 1015, services: [row("a", { rate: 7, error_ratio: null, latency: null, answering: 3 })] });
  const r = rows.get("a/prod")!;
  assert.deepEqual(lines(r.spark), { t0: 1000, step: 10, rate: [1, 7], error_ratio: [0, null], latency: [5, null], answering: [4, 3] });
  assert.ok(r.spark instanceof LiveSpark);
  assert.equal(r.spark, rows.get("a/prod")!.spark);
  rows.take({ as_of: 1016, services: [row("a", { rate: 8 })] });
  assert.deepEqual(rows.get("a/prod")!.spark?.rate, [1, 8]);
  assert.deepEqual(r.spark.rate, [1, 7]);
  assert.equal(stillOf(rows.get("a/prod")!.spark!), still);
});

test("the end of a spark takes it a step on, or corrects its last points", () => {
  const long = { t0: 1000, step: 10, rate: [1, 2, 3], error_ratio: [0, 0, 0], latency: [5, 6, 7], answering: [4, null, 4] };
  const tip = (t0: number): SparkData => ({ t0, step: 10, rate: [9, 10], error_ratio: [0, 1], latency: [8, null], answering: [4, 3] });
  for (const [t0, want] of [
    [1010, { t0: 1010, step: 10, rate: [2, 9, 10], error_ratio: [0, 0, 1], latency: [6, 8, null], answering: [null, 4, 3] }],
    [1000, { t0: 1000, step: 10, rate: [1, 9, 10], error_ratio: [0, 0, 1], latency: [5, 8, null], answering: [4, 4, 3] }],
    [1020, long],
  ] as const) {
    const p = new Past(long);
    const still = p.still;
    assert.equal(p.topErrors, 0);
    p.take(tip(t0));
    assert.deepEqual(p.still, want);
    assert.deepEqual(still, long);
    assert.equal(p.topErrors, t0 === 1020 ? 0 : 1);
    assert.equal(p.begins, t0 === 1010 ? 1020 : 1000);
  }
  const rows = holding(row("a", { spark: long }));
  rows.take({ as_of: 1035, services: [row("a", { rate: 11, tip: tip(1010) })] });
  const r = rows.get("a/prod")!;
  assert.deepEqual([r.spark?.t0, r.spark?.rate, "tip" in r], [1010, [2, 9, 11], false]);
});

test("an event in parts is one event, and figures find their rows by number", () => {
  const rows = new Rows();
  const first = merge(nothing, full, rows);
  rows.take({ as_of: 1016, services: [row("c"), row("b", { trouble: 1 })], figures: [0, 7, 1, 0.5, null, null, 12] });
  rows.take({ as_of: 1016, figures: [9, 7, 1, 0.5, null, null, 12] }); // of nobody
  const k = merge(first, { as_of: 1016 }, rows);
  assert.deepEqual([...k.rows.keys()], ["a/prod", "b/prod", "c/prod"]);
  const a = k.rows.get("a/prod")!;
  assert.deepEqual({ ...a }, { ...row("a"), rate: 7, errors: 1, error_ratio: 0.5, latency: { name: "p99", lo: null, hi: null, est: 12 } });
  assert.deepEqual([a.spark?.rate, a.spark?.latency], [[1, 7], [5, 12]]);
  assert.deepEqual([k.rows.figure("a/prod", "latency"), k.rows.figure("nobody", "rate"), k.rows.topErrors("a/prod")], [12, null, 0.5]);
  assert.notEqual(k.shape, first.shape);
  rows.take({ as_of: 1017, figures: [2, 8, 0, 0, 1, 1, 1] });
  const calm = merge(k, { as_of: 1017 }, rows);
  assert.equal(calm.rows.get("c/prod")?.rate, 8);
  assert.deepEqual([calm.shape, calm.said], [k.shape, k.said]);
  assert.equal(calm.rows.get("a/prod"), a);
});

test("figures from long after the last point do not move it", () => {
  const rows = holding(row("a", { spark }));
  rows.take({ as_of: 1030, services: [row("a", { rate: 7 })] });
  assert.deepEqual(rows.get("a/prod")!.spark, spark);
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
  assert.deepEqual(s.calm, [["core", ["y/prod"]], ["home", ["z/prod"]], ["", ["nobody/prod"]]]);
  assert.deepEqual(s.open.map((f) => f.id), ["b", "w"]);
  assert.deepEqual(s.ended.map((f) => f.id), ["old"]);
});

test("server-sent events arrive in any pieces", () => {
  const text = "event: now\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n: still here\n\ndata:x\rid: 7\rdata:  y\r\revent: lonely\n\n";
  const want: ServerEvent[] = [{ event: "now", data: '{"a":\n1}', id: "" }, { event: "message", data: "x\n y", id: "7" }];
  for (let size = 1; size < text.length; size++) {
    const got: ServerEvent[] = [];
    const feed = sseParser((e) => got.push(e));
    for (let i = 0; i < text.length; i += size) feed(text.slice(i, i + size));
    assert.deepEqual(got, want, `in pieces of ${size}`);
  }
});
