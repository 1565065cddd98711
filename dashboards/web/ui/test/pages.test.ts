import assert from "node:assert/strict";
import { test } from "node:test";
import type { Convergence } from "../src/api/answers";
import { completed } from "../src/parts/canary";
import { judged } from "../src/parts/different";

test("what is not known was neither better nor worse", () => {
  for (const [was, is, worse, want] of [
    [null, null, false, "not known in this window"], [0.1, null, false, "not known in this window"], [null, 0.1, false, "not known before"],
    [0.1, 0.1, false, "no worse than before"], [0.1, 0.4, true, "No place stands out."],
  ] as const) assert.equal(judged({ was, is, worse }), want);
});

test("a version that has come to all says since when", () => {
  const c = (more: Partial<Convergence>): Convergence => ({ by: "version", target: "2", began: 1000, t50_ms: 10, t95_ms: 20, t100_ms: 30, on: 18, of: 18, values: [], stragglers: [], reverts: [], ...more });
  assert.equal(completed(c({})), 1030);
  assert.equal(completed(c({ on: 17 })), null);
  assert.equal(completed(c({ t100_ms: 0 })), null); // it always was there
  assert.equal(completed(c({ began: null })), null);
});
