import assert from "node:assert/strict";
import { test } from "node:test";
import type { CanaryAnswer } from "../src/api/answers";
import type { Finding, Row } from "../src/api/contract";
import { merge, nothing, prodFirst, sorted } from "../src/api/merge";
import { troubles } from "../src/pages/now";
import { canaryText } from "../src/parts/canary";
import { csv } from "../src/parts/csv";
import { asText, told } from "../src/say/finding";
import { address, parse } from "../src/state/route";

const finding = (f: Partial<Finding>): Finding => ({
  id: "f1",
  level: "bad",
  service: "checkout",
  env: "prod",
  metric: "errors",
  since: 100_000,
  ended: null,
  title: "checkout is failing",
  news: "",
  only: "",
  cleared: null,
  events: null,
  ...f,
});

test("acknowledged and silenced findings are apart, and shout no more", () => {
  const ack = { by: "ann", at: 1 };
  const silenced = { id: "s", service: "x", by: "ann", why: "", at: 1, until: 2 };
  const k = { ...nothing, findings: [finding({ id: "a" }), finding({ id: "b", ack }), finding({ id: "c", silenced }), finding({ id: "d", ended: 5 })] };
  const s = sorted(k, "prod");
  assert.deepEqual([s.open, s.quiet, s.ended].map((l) => l.map((f) => f.id).join()), ["a", "b,c", "d"]);
});

test("what may be the cause stands before what began in the same second", () => {
  const f = finding({
    events: [{ t: 5000, text: "errors rise", kind: "finding" }, { t: 5400, text: "12 instances went 1 → 2" }, { t: 6000, text: "3 instances restarted" }],
    before: [{ t: 5900, kind: "flag", service: "payments", text: "flag on", score: 1, env: "prod" }],
  });
  assert.deepEqual(told(f).map((e) => e.text), ["12 instances went 1 → 2", "payments: flag on", "errors rise", "3 instances restarted"]);
});

test("a finding tells its own events and what else changed, in order, each once", () => {
  const f = finding({
    events: [{ t: 5, text: "errors rise" }],
    before: [
      { t: 3, kind: "deploy", service: "payments", env: "prod", text: "deploy of 2", score: 2 },
      { t: 4, kind: "flag", service: "checkout", env: "prod", text: "flag on", score: 1 },
      { t: 5, kind: "finding", service: "checkout", env: "prod", text: "errors rise", score: 1 },
    ],
  });
  assert.deepEqual(told(f).map((e) => e.text), ["payments: deploy of 2", "flag on", "errors rise"]);
  assert.match(asText({ ...f, ack: { by: "ann", why: "on it", at: 6 } }, 200_000, "utc", "http://x/"), /payments: deploy of 2[^]*ann looks after it since [^]*: on it\nhttp:\/\/x\/$/);
});

test("the trouble of a place is that of all its services", () => {
  const t = troubles([finding({ services: ["checkout", "search"] }), finding({ id: "g", since: 1, ended: 9 })]);
  assert.deepEqual(t.get("search/prod"), [[100_000, Infinity]]);
  assert.deepEqual(t.get("checkout/prod"), [
    [100_000, Infinity],
    [1, 9],
  ]);
});

test("prod is first, whatever comes with it", () => {
  assert.deepEqual(prodFirst(["canary", "devel", "prod", "staging"]), ["prod", "canary", "devel", "staging"]);
  assert.deepEqual(prodFirst(["staging", "Production"]), ["Production", "staging"]);
});

test("a step that is not over is drawn by the figures, not by what was counted so far", () => {
  const spark = { t0: 0, step: 10_000, rate: [100, 7], error_ratio: [0, 0.9], latency: [5, 5], answering: [3, 1] };
  const row: Row = {
    service: "a", env: "prod", owner: "", expected: 3, present: 3, answering: 3, trouble: 0, why: null, rate: 99, errors: 0, error_ratio: 0,
    latency: { name: "p99", lo: null, hi: null, est: 6 }, versions: null, spark,
  };
  const at = (as_of: number) => merge(nothing, { full: true, as_of, services: [row] }).rows.get("a/prod")?.spark;
  const drawn = at(12_000);
  assert.deepEqual([drawn?.t0, drawn?.rate, drawn?.error_ratio, drawn?.latency, drawn?.answering], [0, [100, 99], [0, 0], [5, 6], [3, 3]]);
  assert.deepEqual(at(20_000), spark);
});

test("csv", () => {
  assert.equal(csv(0, 1000, [{ name: "", values: [1, null] }]), "time,all\r\n1970-01-01T00:00:00.000Z,1\r\n1970-01-01T00:00:01.000Z,\r\n");
  assert.equal(csv(0, 1000, [{ name: '=1,"x"', values: [2], lo: [1], hi: [3] }]).split("\r\n")[0], `time,"'=1,""x""","'=1,""x"" lo","'=1,""x"" hi"`);
  assert.equal(csv(0, 1000, []), "time\r\n");
  const of = csv(0, 1000, [{ name: "1.42.0", values: [1] }, { name: "", values: [2] }], "checkout prod requests zone=a per second").split("\r\n")[0];
  assert.equal(of, "time,checkout prod requests zone=a per second 1.42.0,checkout prod requests zone=a per second");
});

test("a canary for a chat", () => {
  const a: CanaryAnswer = {
    as_of: 9, service: "search", env: "prod", verdict: "fail", reason: "errors rose", at: 8, by: "track", since: 1, every_ms: 1000, polls: 12, warming: 0,
    canary: { name: "canary", version: "2", instances: 6, answering: 6 }, baseline: { name: "production", version: "1", instances: 12, answering: 12 },
    metrics: [{ name: "errors", kind: "ratio", action: "fail", verdict: "fail", text: "errors 0 → 5 %", zone: "z", effect: 1, lo: 0, hi: 2, margin: 0, sigmas: 3, polls: 9, hosts: [1, 2] }],
    convergence: { by: "service.version", target: "2", began: 1, t50_ms: null, t95_ms: null, t100_ms: null, on: 6, of: 18, values: [], stragglers: [], reverts: [] },
  };
  assert.equal(
    canaryText(a, 9, "utc", "http://x/"),
    "▲ Canary of search (prod) fails: errors rose\n2, 6 instances, beside 1, 12 instances\n▲ z: errors 0 → 5 %\n12 polls since 00:00:00 UTC\n2 is on 6 of 18 instances\nhttp://x/",
  );
});

test("a wall stays one over its links", () => {
  assert.equal(address("/", { env: "prod", kiosk: "" }), "/?env=prod&kiosk");
  assert.equal(address("/", { kiosk: undefined }), "/");
  assert.deepEqual(parse("/", "?kiosk").query, { kiosk: "" });
  assert.deepEqual(parse("/host/ip-10%2E0", ""), { page: "host", service: "ip-10.0", query: {} });
});
