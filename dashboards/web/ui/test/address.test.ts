import assert from "node:assert/strict";
import { test } from "node:test";
import { packed, parseRef, refText, unpacked, windowOf } from "../src/parts/metric";
import { address, parse, servicePath } from "../src/state/route";

test("parse", () => {
  for (const [path, search, page, service, query] of [
    ["/", "", "now", "", {}],
    ["/", "?env=staging", "now", "", { env: "staging" }],
    ["/services/", "", "services", "", {}],
    ["/service/checkout", "?env=prod&m=a,b", "service", "checkout", { env: "prod", m: "a,b" }],
    ["/service/a%2Fb%20c", "", "service", "a/b c", {}],
    ["/service/a/b", "", "service", "a/b", {}],
    ["/service/100%", "", "service", "100%", {}],
    ["/finding/f1a2", "?env=prod", "finding", "f1a2", { env: "prod" }],
    ["/finding", "", "none", "", {}],
    ["/service", "", "none", "", {}],
    ["/roster/x", "", "none", "", {}],
    ["/constructor", "", "none", "", {}],
  ] as const)
    assert.deepEqual(parse(path, search), { page, service, query }, path);
});

test("a service of any name has an address that leads back to it", () => {
  for (const name of ["checkout", "a/b", "<script>alert(1)</script>", "ü?&#=", "مرحبا", "..", "a%2Fb"]) {
    const url = new URL(servicePath(name), "http://x");
    if (name === "..") continue; // a browser resolves it before any page sees it
    assert.equal(parse(url.pathname, "").service, name);
  }
});

test("address leaves out what is not set", () => {
  assert.equal(address("/", {}), "/");
  assert.equal(address("/explore", { env: "prod", by: "", q: undefined, metric: "a b&c" }), "/explore?env=prod&metric=a+b%26c");
});

test("metrics in an address", () => {
  for (const [metric, field] of [["requests", ""], ["latency_ms", "p99"], ["a~b", "p50"], ["a,b%", ""]] as const)
    assert.deepEqual(parseRef(unpacked(packed([refText({ metric, field })]))[0] as string), { metric, field });
  assert.deepEqual(unpacked(packed(["a", "b,c", "d~p99"])), ["a", "b,c", "d~p99"]);
  assert.equal(packed(["version=1.42.0", "zone=us-east-1c"]), "version=1.42.0,zone=us-east-1c"); // an address escapes once
  assert.deepEqual(unpacked(packed(["a%2Cb", "c%", "d=é,f"])), ["a%2Cb", "c%", "d=é,f"]);
  assert.deepEqual(unpacked(undefined), []);
  assert.deepEqual(unpacked("100%,b"), ["100%", "b"]);
});

test("windowOf", () => {
  assert.deepEqual(windowOf({}, 900_000), { ms: 900_000, from: 0, to: 0 });
  assert.deepEqual(windowOf({ w: "1h" }, 900_000), { ms: 3_600_000, from: 0, to: 0 });
  assert.deepEqual(windowOf({ from: "1000", to: "2000", w: "1h" }, 900_000), { ms: 0, from: 1000, to: 2000 });
  assert.deepEqual(windowOf({ from: "2000", to: "1000" }, 900_000), { ms: 900_000, from: 0, to: 0 });
  assert.deepEqual(windowOf({ from: "x", to: "1000", w: "nonsense" }, 900_000), { ms: 900_000, from: 0, to: 0 });
});
