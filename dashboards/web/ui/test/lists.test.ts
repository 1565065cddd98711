import assert from "node:assert/strict";
import { test } from "node:test";
import { fit } from "../src/parts/combo";
import { hits } from "../src/parts/palette";
import { nextSort, order, type Column } from "../src/parts/table";
import { address } from "../src/state/route";

interface R {
  n: string;
  v: number | null;
}
const columns: Column<R>[] = [
  { key: "n", head: "N", sort: (r) => r.n, cell: (r) => r.n },
  { key: "v", head: "V", num: true, sort: (r) => r.v, cell: (r) => r.v },
];
const rows: R[] = [{ n: "b10", v: 1 }, { n: "b9", v: null }, { n: "a", v: 3 }];

test("order: what is not known comes last either way, names in their natural order", () => {
  const names = (by: string): string => order(rows, columns, by).map((r) => r.n).join(" ");
  for (const [by, want] of [["n", "a b9 b10"], ["-n", "b10 b9 a"], ["v", "b10 a b9"], ["-v", "a b10 b9"], ["nonsense", "b10 b9 a"]] as const) assert.equal(names(by), want, by);
});

test("nextSort turns a column round, figures the largest first", () => {
  for (const [was, key, num, want] of [["n", "v", true, "-v"], ["-v", "v", true, "v"], ["v", "v", true, "-v"], ["v", "n", false, "n"], ["n", "n", false, "-n"]] as const)
    assert.equal(nextSort(was, key, num), want);
});

test("fit: all words, the beginning first", () => {
  const c = [{ value: "http_requests" }, { value: "requests", hint: "counter" }, { value: "heap", hint: "gauge" }];
  assert.deepEqual(fit(c, "req").map((x) => x.value), ["requests", "http_requests"]);
  assert.deepEqual(fit(c, "req counter").map((x) => x.value), ["requests"]);
  assert.equal(fit(c, "").length, 3);
  assert.equal(fit(c, "zzz").length, 0);
});

test("hits: services the page knows come without asking, each once, and every hit leads somewhere", () => {
  const local = [{ service: "checkout", env: "prod" }, { service: "search", env: "prod" }];
  const a = {
    services: [{ service: "checkout", env: "prod" }, { service: "checkout", env: "staging" }],
    hosts: [{ host: "check-7", n: 3 }],
    instances: [{ instance: "10.0.0.5:8001", service: "checkout", env: "prod" }],
    metrics: [{ metric: "checks<b>", service: "mail", env: "prod" }],
  };
  const got = hits("check", local, a, (p, q = {}) => address(p, q)).map((h) => `${h.group}: ${h.text} → ${h.to}`);
  assert.deepEqual(got, [
    "Services: checkout → /service/checkout?env=prod",
    "Services: checkout → /service/checkout?env=staging",
    "Hosts: check-7 → /host/check-7",
    "Instances: 10.0.0.5:8001 → /service/checkout?env=prod&i=10.0.0.5%3A8001",
    "Metrics: checks<b> → /explore?env=prod&service=mail&metric=checks%3Cb%3E",
  ]);
  // An answer to fewer letters says nothing of others than those that hold all of them.
  const since = (q: string): string[] => hits(q, [], a, (p) => p, "1").map((h) => h.text);
  assert.deepEqual(since("10.0.0.5"), ["10.0.0.5:8001"]);
  assert.deepEqual(since("10.0.0.6"), []);
  // Each word is in the name of the thing, or of what it is of.
  assert.deepEqual(since("mail checks"), ["checks<b>"]);
  assert.deepEqual(since("prod 0.5"), ["10.0.0.5:8001"]);
  assert.deepEqual(hits("", [], null, (p) => p).map((h) => h.text), ["Now", "Services", "Explore", "Canaries", "Roster"]);
});
