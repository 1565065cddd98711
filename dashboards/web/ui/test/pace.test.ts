import assert from "node:assert/strict";
import { test } from "node:test";
import { Pacer } from "../src/api/pace";

/** drive tells a pacer of an event a second, and returns its paces. */
function drive(p: Pacer, from: number, n: number, late: number, work: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < n; i++) {
    p.drew(from + i * 1000, late, work, p.every || 1000);
    out.push(p.every);
  }
  return out;
}

test("a browser that keeps up is told as it comes, however far its clock is off", () => {
  assert.deepEqual(new Set(drive(new Pacer(), 0, 100, -90_000, 300)), new Set([0]));
  const p = new Pacer();
  drive(p, 0, 10, 50, 20);
  assert.deepEqual(drive(p, 10_000, 2, 5000, 20), [0, 0]); // twice late is no habit
  assert.deepEqual(drive(p, 12_000, 3, 50, 20), [0, 0, 0]);
});

test("one that falls behind is told less often, and no less than the least", () => {
  const p = new Pacer();
  drive(p, 0, 1, 50, 20);
  assert.deepEqual(drive(p, 1000, 12, 5000, 20), [0, 0, 2000, 2000, 2000, 5000, 5000, 5000, 10_000, 10_000, 10_000, 10_000]);
});

test("one that does nothing else is told less often, and again as before when it could be", () => {
  const p = new Pacer();
  assert.deepEqual(drive(p, 0, 3, 50, 800), [0, 0, 2000]);
  p.fresh();
  assert.deepEqual(new Set(drive(p, 3000, 100, 50, 800)), new Set([2000])); // at the pace before it would be too much again
  const back = drive(p, 200_000, 62, 50, 100);
  assert.equal(back.indexOf(0), 60);
});
