import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../src/api/contract";
import { home, hostOf } from "../src/parts/leads";
import { peakOf, whileOf } from "../src/parts/meanwhile";
import { asText, headline, told, watched } from "../src/say/finding";

const found = (more: Partial<Finding> = {}): Finding => ({
  id: "f1", level: "bad", service: "checkout", env: "prod", metric: "errors", since: 1_000_000, ended: null, title: "checkout is failing", news: "", only: "", cleared: [], events: [], ...more,
});
const place = found({ services: ["ads", "users"], place: "host.name=h-1", where: ["host.name=h-1"] });
const ack = (by: string): Partial<Finding> => ({ ack: { by, at: 5 } });
const silenced = (by: string): Partial<Finding> => ({ silenced: { id: "s", service: "checkout", by, why: "", at: 5, until: 9 } });

test("a finding leads to its host, its service, or its own page", () => {
  for (const [f, host, to] of [
    [found(), "", "/service/checkout"],
    [found({ where: ["host.name=h=2"] }), "h=2", "/service/checkout"],
    [found({ where: ["host.name=a", "host.name=b"] }), "", "/service/checkout"],
    [place, "h-1", "/host/h-1"],
    [found({ services: ["ads", "users"], place: "cloud.availability_zone=z", where: ["cloud.availability_zone=z"] }), "", "/finding/f1"],
    [found({ ended: 2_000_000, id: "f/1" }), "", "/finding/f%2F1"],
    [{ ...place, ended: 2_000_000 }, "h-1", "/finding/f1"],
  ] as const) {
    assert.equal(hostOf(f), host);
    assert.equal(home(f), to);
  }
});

test("of several services each is named in the time line, and nothing twice", () => {
  const f: Finding = {
    ...place,
    events: [{ t: 1, text: "ads: 10.0.0.1:80 left" }],
    before: [
      { t: 2, kind: "leave", service: "ads", env: "prod", text: "10.0.0.1:80 left", score: 9 },
      { t: 3, kind: "deploy", service: "users", env: "prod", text: "1 → 2", score: 5 },
    ],
  };
  assert.deepEqual(told(f).map((e) => e.text), ["ads: 10.0.0.1:80 left", "users: 1 → 2"]);
});

test("who looks after what is quiet", () => {
  for (const [all, says] of [
    [[ack("anna")], "1 finding, looked after by anna"],
    [[ack("anna"), ack("ben"), ack("anna")], "3 findings, looked after by anna and ben"],
    [[silenced("carl")], "1 finding, silenced by carl"],
    [[ack("anna"), silenced("carl")], "2 findings: 1 looked after by anna, 1 silenced by carl"],
    [[ack("a"), ack("b"), ack("c"), ack("d")], "4 findings, looked after by a, b and 2 more"],
  ] as const)
    assert.equal(watched(all.map((more) => found(more))), says);
});

test("a page never says that nothing is wrong while something is", () => {
  const canary = found({ service: "ads", metric: "canary", canary: { version: "4.10.0", baseline: "4.9", verdict: "fail" } });
  const calm = { blind: false, canaries: [], quiet: [], trouble: 0 };
  for (const [more, big, rest] of [
    [{}, "Nothing is wrong.", ""],
    [{ trouble: 1 }, "Nothing has a cause yet.", ""],
    [{ blind: true }, "Nothing was wrong when we last knew.", ""],
    [{ canaries: [canary] }, "The canary ads 4.10.0 fails.", "Nothing else is wrong."],
    [{ canaries: [canary, canary], quiet: [found(ack("anna"))] }, "2 canaries fail; 1 finding, looked after by anna.", "Nothing else is wrong."],
    [{ quiet: [found(ack("anna"))] }, "1 finding, looked after by anna.", "Nothing else is wrong."],
    [{ quiet: [found(ack("anna"))], trouble: 2 }, "1 finding, looked after by anna.", "2 services in trouble without a cause yet."],
    [{ quiet: [found(ack("anna"))], blind: true }, "1 finding, looked after by anna when we last knew.", ""],
  ] as const)
    assert.deepEqual(headline({ ...calm, ...more }), { big, rest });
});

test("a finding that is over is copied with its time and its address", () => {
  assert.equal(
    asText({ ...place, ended: 1_180_000, ...ack("anna") }, 9_000_000, "utc", "http://x/finding/f1"),
    "Over: checkout is failing (prod, 00:16:40 UTC to 00:19:40 UTC, 3 min)\nServices: ads, users\nanna looks after it since 00:00:00 UTC\nhttp://x/finding/f1",
  );
});

test("the charts of a finding show as long before as it lasted, and what came after", () => {
  for (const [ended, now, from, to] of [
    [null, 1_060_000, 820_000, 1_060_000],
    [1_060_000, 9_000_000, 820_000, 1_240_000],
    [1_060_000, 1_100_000, 820_000, 1_100_000],
    [1_000_000 + 10 * 3_600_000, 99_000_000, -800_000, 37_900_000],
  ] as const)
    assert.deepEqual(whileOf(found({ ended }), now), { from, to });
});

test("what was worst while it stood", () => {
  const f = { since: 25, ended: 45 };
  for (const [values, signal, want] of [
    [[1, 2, 3, 9, 4, 8], "error_ratio", 9],
    [[1, 2, 3, 9, 4, 8], "rate", 3],
    [[9, 9, null, null, null, 9], "latency", null],
  ] as const)
    assert.equal(peakOf([...values], 0, 10, f, signal), want);
});
