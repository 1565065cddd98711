import assert from "node:assert/strict";
import { test } from "node:test";
import { Pacer, Way, type Drawn } from "../src/api/pace";

/** drive tells a pacer of events at its own pace, and returns its paces. */
function drive(p: Pacer, from: number, n: number, e: Partial<Drawn>): number[] {
  const out: number[] = [];
  for (let i = 0, at = from; i < n; i++) {
    const since = p.every || 1000;
    p.drew({ at: (at += since), late: 50, work: 20, since, ...e });
    out.push(p.every);
  }
  return out;
}

test("who keeps up is told as it comes", () => {
  const p = new Pacer();
  assert.deepEqual(new Set(drive(p, 0, 100, { late: 900, work: 500 })), new Set([0]));
  assert.deepEqual(drive(p, 100_000, 2, { late: 5000 }), [0, 0]); // twice late is no habit
  assert.deepEqual(drive(p, 102_000, 3, {}), [0, 0, 0]);
});

test("after a standstill many events come at once: no reason to be told less often", () => {
  const p = new Pacer();
  for (let i = 0; i < 30; i++) assert.equal(p.drew({ at: 60_000 + i * 20, late: 30_000 - i * 1000, work: 18, since: 20 }), false);
  assert.deepEqual(drive(p, 61_000, 3, {}), [0, 0, 0]);
});

test("a connection that falls behind is told less often, step by step, and as before soon after it keeps up", () => {
  const p = new Pacer();
  assert.deepEqual(drive(p, 0, 5, { late: 3000 }), [0, 0, 2000, 2000, 2000]);
  assert.equal(p.why, "connection");
  assert.deepEqual(drive(p, 10_000, 4, { late: 9000 }), [5000, 5000, 5000, 10_000]);
  assert.deepEqual(new Set(drive(p, 50_000, 6, { late: 6000 })), new Set([10_000])); // it keeps this one, and no other
  assert.deepEqual(drive(p, 120_000, 3, { late: 900 }), [10_000, 2000, 2000]); // in half of two seconds an event is here
  assert.equal(drive(p, 145_000, 7, {}).indexOf(0), 5);
});

test("a browser that has too much to do is told as often as it can be", () => {
  const p = new Pacer();
  assert.deepEqual(drive(p, 0, 3, { work: 2500, since: 2600 }), [0, 0, 5000]);
  assert.equal(p.why, "browser");
  assert.deepEqual(new Set(drive(p, 10_000, 20, { work: 2500 })), new Set([5000])); // at the pace before it would be too much again
  assert.equal(drive(p, 200_000, 4, { work: 100 }).indexOf(0), 2);
});

test("a quicker pace that is not kept is tried again later, and later", () => {
  const p = new Pacer();
  const waits: number[] = [];
  let at = 0;
  for (let round = 0; round < 8; round++) {
    while (p.every === 0) p.drew({ at: (at += 1000), late: 3000, work: 20, since: 1000 });
    const slowed = at;
    while (p.every !== 0) p.drew({ at: (at += p.every), late: 50, work: 20, since: p.every });
    waits.push(Math.round((at - slowed) / 10_000));
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
});

test("how late an event is depends on no clock, and little on how they go", () => {
  const w = new Way(1_000_000);
  assert.equal(w.late(1_000_400, 400), 0);
  assert.ok(Math.abs(w.late(1_004_500, 1500) - 3000) < 10);
  assert.ok(Math.abs(w.late(1_005_000, 5000) - 0) < 10);
  let most = 0;
  for (let s = 6; s < 36_000; s++) most = Math.max(most, w.late(1_000_000 + s * 1000.1, s * 1000)); // ten hours with a clock that is fast
  assert.ok(most < 10, `${most}`);
});
