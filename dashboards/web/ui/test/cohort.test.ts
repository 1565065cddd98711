import assert from "node:assert/strict";
import { test } from "node:test";
import type { Instance } from "../src/api/answers";
import { dimensionsOf } from "../src/parts/cohort";
import { besideOf, narrowed, resampled } from "../src/parts/metric";

const instance = (name: string, tags: Record<string, string>): Instance => ({ instance: name, tags }) as unknown as Instance;

test("a filter offers what tells instances apart, the best known first", () => {
  const all = [
    instance("a:1", { "service.version": "1", "cloud.availability_zone": "us-east-1a", team: "x", disk: "ssd" }),
    instance("b:1", { "service.version": "2", "cloud.availability_zone": "us-east-1a", team: "x" }),
    instance("c:1", { "service.version": "1", "cloud.availability_zone": "us-east-1b", team: "x" }),
  ];
  assert.deepEqual(
    dimensionsOf(all).map((p) => `${p.name}=${p.value} ${p.n}`),
    ["version=1 2", "version=2 1", "zone=us-east-1a 2", "zone=us-east-1b 1", "disk=ssd 1", "instance=a:1 1", "instance=b:1 1", "instance=c:1 1"],
  );
});

test("a condition that is there already goes", () => {
  assert.deepEqual(narrowed(["a=1"], "b=2"), ["a=1", "b=2"]);
  assert.deepEqual(narrowed(["a=1", "b=2"], "a=1"), ["b=2"]);
});

test("a chart stands beside another time or another cohort", () => {
  const hour = 3_600_000;
  assert.equal(besideOf(undefined, [], hour), null);
  assert.equal(besideOf("nonsense", [], hour), null);
  assert.deepEqual(besideOf("before", ["zone=a"], 900_000), { name: "before", shiftMs: 900_000, where: ["zone=a"] });
  assert.deepEqual(besideOf("1d", [], 900_000), { name: "24 h earlier", shiftMs: 24 * hour, where: [] });
  assert.deepEqual(besideOf("version=2", ["version=1", "zone=a"], hour), { name: "version=2", shiftMs: 0, where: ["zone=a", "version=2"] });
});

test("what stands beside takes the steps of what it stands beside", () => {
  const to = { t0: 1000, step: 1000, n: 4 };
  const same = [1, 2, 3, 4];
  assert.equal(resampled(same, 1000, 1000, to), same);
  assert.deepEqual(resampled([7, 8], 0, 3000, to), [7, 7, 8, 8]);
  assert.deepEqual(resampled([5], 3000, 1000, to), [null, null, 5, null]);
});
