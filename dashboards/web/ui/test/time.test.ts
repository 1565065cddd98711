import assert from "node:assert/strict";
import { test } from "node:test";
import { at, clock, parseWindow, span } from "../src/say/time";

const t = Date.UTC(2026, 10, 21, 14, 7, 41);
const hour = 3_600_000;

test("span", () => {
  for (const [ms, want] of [
    [800, "0.8 s"], [9949, "9.9 s"], [9951, "10 s"], [14_000, "14 s"], [119_000, "119 s"], [120_000, "2 min"],
    [7_100_000, "118 min"], [6 * hour, "6 h"], [72 * hour, "3 d"], [-5, "0.0 s"], [null, "–"],
  ] as const) assert.equal(span(ms), want);
});

test("a time carries its zone, and its day when it is another", () => {
  assert.equal(at(t, "utc", t), "14:07:41 UTC");
  assert.equal(at(t, "utc", t, false), "14:07 UTC");
  assert.equal(at(t - 24 * hour, "utc", t), "20 Nov 14:07:41 UTC");
  assert.equal(clock(t - 366 * 24 * hour, "utc", t, false), "20 Nov 2025 14:07");
});

test("parseWindow", () => {
  for (const [s, want] of [["15m", 900_000], ["1h", hour], ["90s", 90_000], ["0m", null], ["15", null], ["", null], ["15m;", null]] as const)
    assert.equal(parseWindow(s), want, s);
});
