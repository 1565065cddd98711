import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../src/api/contract";
import { nothing, type Known } from "../src/api/merge";
import type { Link } from "../src/api/stream";
import { asText } from "../src/say/finding";
import { matcher } from "../src/parts/match";
import { fromZero, whole } from "../src/parts/metric";
import { trust } from "../src/parts/strip";
import { Clock } from "../src/state/clock";

test("matcher", () => {
  const f = { "service.version": "1.42.0", zone: "us-east-1c", instance: "10.0.0.5:8001" };
  for (const [q, want] of [
    ["", true], ["1.42", true], ["EAST 10.0", true], ["east west", false], ["zone:1c", true], ["version:1.42 zone:1c", true], ["zone:1.42", false],
    ["10.0.0.5:8001", true], [":x", false],
  ] as const) assert.equal(matcher(q)(f), want, q);
});

const link = (more: Partial<Link>): Link => ({ state: "open", error: "", heardAt: 100_000, since: 100_000, patience: 10_000, ...more });
const known = (state: string, more: Partial<Known> = {}): Known => ({
  ...nothing, asOf: 100_000, strip: { expected: 1, present: 1, answering: 1, age_ms: 800, feed: { state, since: 40_000, error: state === "live" ? "" : "refused" }, exceptions: [] }, ...more,
});

test("trust: what is not of now says so, with the age of what is shown", () => {
  for (const [l, k, now, state, ageMs] of [
    [link({}), known("live"), 101_000, "fresh", 1800],
    [link({}), known("live"), 109_900, "fresh", 10_700],
    [link({}), known("live"), 110_001, "lost", 10_801],
    [link({ state: "lost", error: "it cannot be reached" }), known("live"), 102_000, "lost", 2800],
    [link({ state: "refused", heardAt: 0 }), nothing, 102_000, "refused", null],
    [link({ state: "opening", heardAt: 0 }), nothing, 102_000, "opening", null],
    [link({ state: "opening", heardAt: 0 }), nothing, 106_000, "refused", null], // not a word for six seconds
    [link({ state: "opening", heardAt: 104_000 }), nothing, 106_000, "opening", null], // a slow connection is at work
    [link({ patience: 20_000 }), known("live"), 119_000, "fresh", 19_800], // it is told now and then
    [link({ state: "resting", patience: Infinity }), known("live"), 900_000, "resting", 800_800], // nobody looks
    [link({}), known("dead"), 101_000, "feed", 1800],
    [link({}), known("connecting"), 101_000, "feed", 1800],
  ] as const) {
    const t = trust(l, k, k === nothing ? 0 : 100_000, now);
    assert.deepEqual([t.state, t.ageMs], [state, ageMs]);
    assert.equal(t.headline === "", ["fresh", "opening", "resting"].includes(state));
  }
  const t = trust(link({}), known("dead"), 100_000, 101_000);
  assert.equal(t.headline, "The feed is dead, 61 s now: refused");
  const begun = known("connecting");
  begun.strip!.feed.error = "";
  assert.equal(trust(link({}), begun, 100_000, 101_000).state, "fresh");
});

test("the clock goes on when the server's as_of stands still", () => {
  let local = 1000;
  const c = new Clock(() => local);
  c.push(501_000);
  assert.equal(c.now(), 501_000);
  local = 6000;
  c.push(501_000);
  assert.equal(c.now(), 506_000);
  c.set(506_000); // an HTTP date within two seconds does not move it
  assert.equal(c.now(), 506_000);
  c.set(600_000);
  assert.equal(c.now(), 600_500);
  c.push(NaN);
  assert.equal(c.now(), 600_500);
});

test("a finding as text says all that the page says", () => {
  const f: Finding = {
    id: "f1", level: "bad", service: "checkout", env: "prod", metric: "errors", since: 60_000, ended: null, title: "checkout is failing", news: "", only: "Only 1.42.0: all of it.",
    cleared: ["1.41", "zones"], events: [{ t: 30_000, text: "1.42.0 first seen" }],
  };
  assert.equal(
    asText(f, 300_000, "utc", "http://x/service/checkout"),
    "▲ checkout is failing (prod, since 00:01:00 UTC, for 4 min)\nOnly 1.42.0: all of it.\nCleared: 1.41 · zones\n00:00:30 UTC  1.42.0 first seen\nhttp://x/service/checkout",
  );
});

test("a chart begins at zero and drops the step that is not over", () => {
  assert.deepEqual(fromZero([{ name: "", values: [95, null, 102] }]), { lo: 0, hi: 120 });
  assert.deepEqual(fromZero([{ name: "", values: [-3, 5] }]), { lo: -3, hi: 6 });
  assert.deepEqual(fromZero([]), { lo: 0, hi: 1 });
  const a = { metric: "m", kind: "counter", unit: "", agg: "sum", t0: 0, step: 10, of: "", as_of: 25, events: [], series: [{ name: "", instances: 1, values: [1, 2, 0.1], lo: null, hi: null }] };
  assert.deepEqual(whole(a)[0]?.values, [1, 2]);
});
