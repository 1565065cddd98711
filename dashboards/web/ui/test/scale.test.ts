import assert from "node:assert/strict";
import { test } from "node:test";
import type { Row } from "../src/api/contract";
import { Past } from "../src/api/past";
import { shownOf } from "../src/parts/signals";
import { indexAt, lastKnown, linePath } from "../src/draw/path";
import { band, before, countScale, errorScale, nice, quantile, roundUp, signalOf, stepFor, ticks, troubled, usualScale } from "../src/draw/scale";

const flat = (n: number, v: number): number[] => Array.from({ length: n }, () => v);

test("nice", () => {
  for (const [x, want] of [[0.031, 0.05], [1, 1], [1.1, 2], [4, 5], [7, 10], [0, 1], [-3, 1]] as const) assert.equal(nice(x), want);
});

test("roundUp", () => {
  for (const [x, want] of [[749, 750], [80, 80], [0.0123, 0.013], [1001, 1100]] as const) assert.equal(roundUp(x), want);
});

test("quantile", () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([7], 0.9), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("errors are drawn from 0 to at least 1 %, on one scale for all", () => {
  assert.deepEqual(errorScale([[0.0002], [null]]), { lo: 0, hi: 0.01 });
  assert.deepEqual(errorScale([[0.0002], [0.031, null]]), { lo: 0, hi: 0.05 });
  assert.deepEqual(errorScale([[0.8]]), { lo: 0, hi: 1 });
});

test("the usual is in the middle, and what goes higher has room", () => {
  assert.deepEqual(usualScale(flat(90, 40)), { lo: 0, hi: 80 });
  const s = usualScale([...flat(60, 40), ...flat(30, 200)]);
  assert.ok(s.hi > 200 && s.hi < 230, String(s.hi));
  assert.deepEqual(usualScale([null, null]), { lo: 0, hi: 1 });
  assert.deepEqual(usualScale(flat(3, 0)), { lo: 0, hi: 1 });
});

test("nine of 312 gone is seen, one of 312 is not a cliff", () => {
  const s = countScale([312, 303], 312);
  assert.ok(s.lo > 250 && s.lo < 300, String(s.lo));
  assert.equal(countScale([12, 0], 12).lo, 0);
});

test("band needs enough points and ignores the news", () => {
  assert.equal(band(flat(5, 1), { lo: 0, hi: 2 }), null);
  const b = band(before([...flat(60, 1), ...flat(30, 9)], 0, 1000, []), { lo: 0, hi: 10 });
  assert.ok(b && b.hi < 2, JSON.stringify(b));
});

test("ticks are round and few", () => {
  assert.deepEqual(ticks({ lo: 0, hi: 0.05 }), [0, 0.02, 0.04]);
  assert.deepEqual(ticks({ lo: 290, hi: 314 }), [290, 300, 310]);
  assert.deepEqual(ticks({ lo: 5, hi: 6.12, whole: true }), [5, 6]);
});

test("stepFor keeps a chart at some hundreds of points", () => {
  for (const [w, want] of [[300_000, 1000], [900_000, 2000], [3_600_000, 10_000], [86_400_000, 300_000]] as const) assert.equal(stepFor(w), want);
});

test("a finding is drawn by the line that it is about, and those in trouble are the server's word", () => {
  for (const [metric, hit, want] of [
    ["errors", ["errors", "latency"], "error_ratio"], ["latency", ["latency"], "latency"], ["instances", ["answering"], "answering"], ["rate", ["rate"], "rate"],
    ["exceptions", [], "error_ratio"], ["budget", ["latency"], "latency"], ["saturation", [], null],
  ] as const) assert.equal(signalOf({ metric, service: "a", signals: { a: [...hit], b: ["rate"] } }), want, metric);
  assert.equal(signalOf({ metric: "saturation", service: "a" }), null);
  const red = (signals?: string[]): string[] => [...troubled({ signals, why: ["in trouble on host h-1"], answering: 1, expected: 2 } as unknown as Row)];
  assert.deepEqual(red(["errors", "latency"]), ["error_ratio", "latency"]);
  assert.deepEqual(red(["answering", "else"]), ["answering"]);
  assert.deepEqual(red(undefined), []);
});

test("all charts of a page have one length: as long as anybody is known, 15 minutes at most", () => {
  const min = 60_000;
  const none = [null, null, null];
  const of = (answering: (number | null)[]): number => new Past({ t0: 0, step: min, rate: none, error_ratio: none, latency: none, answering }).begins;
  for (const [begins, now, want] of [
    [[], 20, 15], [[of([null, null])], 2, 15], [[of([1, 1])], 1, 2], [[of([null, 1, 1])], 2.5, 2], [[of([null, null, 1]), of([1])], 2.5, 3], [[of([1])], 4, 5],
    [[of([1])], 9.9, 10], [[of([1])], 11, 15], [[of([1])], 40, 15],
  ] as const) assert.equal(shownOf({ rows: { begins: () => begins } }, now * min), want * min, `${begins.length} rows at ${now}`);
});

const f = { from: 0, to: 100, width: 100, height: 10 };
const s = { lo: 0, hi: 10 };

test("a gap is drawn as a gap, a lone point as a dot", () => {
  assert.equal(linePath([0, 5, null, 10, null, 2, 2], 0, 10, s, f), "M0 10L10 5M30 0h.01M50 8L60 8");
  assert.equal(linePath([null], 0, 10, s, f), "");
});

test("what lies outside the window is left out, what lies above the scale is held at its edge", () => {
  assert.equal(linePath([1, 1, 99], -10, 10, s, f), "M0 9L10 0");
});

test("indexAt and lastKnown", () => {
  assert.equal(indexAt(24, 0, 10, 5), 2);
  assert.equal(indexAt(-6, 0, 10, 5), -1);
  assert.equal(indexAt(60, 0, 10, 5), -1);
  assert.equal(lastKnown([1, null, 3, null]), 2);
  assert.equal(lastKnown([null]), -1);
});

test("what was wrong is no part of the usual", () => {
  const line = [...flat(20, 1), ...flat(50, 9), ...flat(20, 1)];
  const quiet = before(line, 0, 1000, [[20_000, 70_000]]);
  assert.ok(quiet.every((v) => v === null || v === 1));
  assert.ok(quiet.filter((v) => v === 1).length >= 35);
  assert.deepEqual(band(quiet, { lo: 0, hi: 10 })?.hi, 1 + 10 / 60);
  const open = before([...flat(20, 1), ...flat(70, 9)], 0, 1000, [[20_000, Infinity]]);
  assert.ok(open.slice(19).every((v) => v === null));
  assert.equal(band(before(line, 0, 1000, [[0, Infinity]]), { lo: 0, hi: 10 }), null);
});
