import assert from "node:assert/strict";
import { test } from "node:test";
import type { Instance, Lately } from "../src/api/answers";
import { alike, health, rank, usual } from "../src/parts/health";

/** did is half a minute of so many requests a second of which a share failed. */
const did = (error_ratio: number, rate = 20, latency = 20): Lately => ({ seconds: 30, requests: 30 * rate, errors: 30 * rate * error_ratio, error_ratio, latency });

const inst = (more: Partial<Instance> = {}): Instance => ({
  instance: "10.0.0.1:80", host: "h", state: "present", reason: "", since: 0, outcome: "ok", outcome_reason: "", age_ms: 500, took_ms: 1, version: "1", zone: "a",
  track: "", tags: {}, rate: 20, error_ratio: 0.001, latency: 20, lately: did(0.001), ...more,
});

test("health: the gravest first, next to the others", () => {
  const u = usual([inst(), inst(), inst(), inst({ outcome: "timeout", latency: 9999 })]);
  assert.deepEqual([u.errors, u.latency, u.age], [0.001, 20, 500]);
  for (const [more, level, word] of [
    [{}, "", "ok"],
    [{ state: "filtered", outcome: "" }, "", "filtered"],
    [{ state: "departed", outcome: "timeout", missing: true }, "bad", "missing"],
    [{ state: "departed", outcome: "timeout", excuse: "replaced by 10.0.0.2:80" }, "", "departed"],
    [{ outcome: "body_limit" }, "bad", "body limit"],
    [{ outcome: "skipped" }, "warn", "skipped"],
    [{ lately: did(0.65) }, "bad", "errors 65 %"],
    [{ lately: did(0.02, 300) }, "warn", "errors 2.0 %"],
    [{ lately: did(0.1, 30) }, "bad", "errors 10 %"],
    [{ lately: did(0.5, 0.066) }, "", "ok"], // one of two: chance
    [{ lately: did(1, 0.2) }, "bad", "errors 100 %"], // six of six are none
    [{ lately: did(0.0039) }, "", "ok"],
    [{ error_ratio: 0.3 }, "", "ok"], // a second of it is no news
    [{ age_ms: 40_000 }, "warn", "silent for 40 s"],
    [{ outcome: "", age_ms: null }, "warn", "not asked yet"],
    [{ state: "quarantined" }, "warn", "quarantined"],
    [{ lately: did(0, 20, 80) }, "warn", "slow, 80 ms"],
    [{ lately: did(0, 20, 35) }, "", "ok"],
  ] as const)
    assert.deepEqual(health(inst(more as Partial<Instance>), u), { level, word }, JSON.stringify(more));
});

test("where all fail alike each is held against what was before", () => {
  const all = [0.05, 0.08, 0.17].map((x) => inst({ lately: did(x, 20, 250) }));
  const before = { error_ratio: 0.002, latency: 119 };
  const words = (u: ReturnType<typeof usual>): string[] => all.map((i) => health(i, u).level + " " + health(i, u).word);
  assert.deepEqual(words(usual(all)), [" ok", " ok", " ok"]); // nobody knows what was before
  assert.deepEqual(words(usual(all, before, ["errors"])), ["bad errors 5.0 %", "bad errors 8.0 %", "bad errors 17 %"]);
  assert.deepEqual(words(usual(all, { error_ratio: 0.1, latency: null })), [" ok", " ok", " ok"]); // it always was so
  const slow = [inst({ lately: did(0, 20, 250) }), inst({ lately: did(0, 20, 260) })];
  assert.deepEqual(slow.map((i) => health(i, usual(slow, before, ["latency"])).word), ["slow, 250 ms", "slow, 260 ms"]);
  assert.deepEqual(slow.map((i) => health(i, usual(slow, before)).word), ["ok", "ok"]); // twice as slow, and the service is not in trouble for it

  const u = usual(all, before, ["errors"]);
  assert.equal(alike(all, all.map((i) => health(i, u)), u), "all 3 fail: 5.0 % to 17 %, usually 0.20 %");
  const some = [...all, inst()];
  const v = usual(some, before, ["errors"]);
  assert.equal(alike(some, some.map((i) => health(i, v)), v), "");
});

test("the worst comes first", () => {
  const all = [inst(), inst({ lately: did(0, 20, 90) }), inst({ lately: did(0.07) }), inst({ lately: did(0.21) }), inst({ state: "departed", missing: true, lately: did(0.5) }), inst({ lately: did(0.03) })];
  const u = usual(all, { error_ratio: 0.001, latency: 20 });
  const words = all.map((i) => ({ i, h: health(i, u) })).sort((a, b) => rank(a.h, a.i) - rank(b.h, b.i));
  assert.deepEqual(words.map((x) => x.h.word), ["missing", "errors 21 %", "errors 7.0 %", "errors 3.0 %", "slow, 90 ms", "ok"]);
});
