import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Refusal } from "../src/api/fetch";
import { Poller } from "../src/api/poller";

/** One whose questions are answered by hand, and whose clock stands still until it is moved. */
function rig(t: TestContext, everyMs = 5000) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const asked: { signal: AbortSignal; yes: (n: number) => void; no: (e: unknown) => void }[] = [];
  const told: number[] = [];
  const failed: string[] = [];
  let hidden = false;
  const p = new Poller<number>({
    everyMs,
    patienceMs: 20_000,
    ask: (signal) => new Promise((yes, no) => asked.push({ signal, yes, no })),
    told: (n) => told.push(n),
    failed: (e) => failed.push(e.message),
    hidden: () => hidden,
  });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return {
    p,
    asked,
    told,
    failed,
    hide: (h: boolean) => (hidden = h),
    answer: async (i: number, n: number) => (asked[i]?.yes(n), settle()),
    refuse: async (i: number, e: unknown) => (asked[i]?.no(e), settle()),
    pass: async (ms: number) => (t.mock.timers.tick(ms), settle()),
  };
}

test("an answer that never comes is not the last", async (t) => {
  const r = rig(t);
  r.p.look();
  await r.answer(0, 1);
  await r.pass(5000);
  assert.equal(r.asked.length, 2);
  await r.pass(19_000); // nothing comes, and the browser never says that nothing will
  assert.deepEqual([r.asked.length, r.failed.length], [2, 0]);
  await r.pass(1000);
  assert.deepEqual(r.failed, ["no answer within 20 s"]);
  assert.equal(r.asked[1]?.signal.aborted, true);
  await r.pass(10_000);
  assert.equal(r.asked.length, 3);
  await r.answer(1, 7); // too late
  await r.answer(2, 2);
  assert.deepEqual(r.told, [1, 2]);
});

test("after failures the pauses grow, to 15 s at most, and the first good answer ends them", async (t) => {
  const r = rig(t);
  r.p.look();
  const pauses = [10_000, 15_000, 15_000];
  for (const [i, pause] of pauses.entries()) {
    await r.refuse(i, new TypeError("Failed to fetch"));
    await r.pass(pause - 1);
    assert.equal(r.asked.length, i + 1);
    await r.pass(1);
    assert.equal(r.asked.length, i + 2);
  }
  assert.deepEqual(r.failed, pauses.map(() => "rollcall cannot be reached"));
  await r.answer(3, 1);
  await r.pass(5000);
  assert.equal(r.asked.length, 5);
});

test("who comes back asks at once, and never twice at a time", async (t) => {
  const r = rig(t);
  r.p.look();
  r.p.look(); // hidden and shown again while the first is on its way
  assert.equal(r.asked.length, 1);
  await r.answer(0, 1);
  r.hide(true);
  await r.pass(60_000);
  assert.equal(r.asked.length, 1);
  r.hide(false);
  r.p.look();
  assert.equal(r.asked.length, 2);
  await r.answer(1, 2);
  await r.pass(5000);
  assert.equal(r.asked.length, 3); // one chain, not two
});

test("a page that is put aside holds no connection, and goes on when it is taken up", async (t) => {
  const r = rig(t);
  r.p.look();
  r.p.rest();
  assert.equal(r.asked[0]?.signal.aborted, true);
  await r.pass(60_000);
  assert.deepEqual([r.asked.length, r.failed.length], [1, 0]);
  r.p.look();
  await r.answer(1, 1);
  assert.deepEqual(r.told, [1]);
  r.p.stop();
  r.p.look();
  await r.pass(60_000);
  assert.equal(r.asked.length, 2);
});

test("what is asked once has one answer: it is asked again where nobody had time for it", async (t) => {
  const r = rig(t, 0);
  r.p.look();
  await r.refuse(0, new TypeError("Failed to fetch"));
  await r.pass(2000);
  assert.equal(r.asked.length, 2);
  await r.refuse(1, new Refusal(503, "too many ask at once"));
  await r.pass(4000);
  assert.equal(r.asked.length, 3);
  await r.answer(2, 1);
  await r.pass(600_000);
  assert.deepEqual([r.asked.length, r.told, r.failed], [3, [1], ["rollcall cannot be reached", "too many ask at once"]]);
});

for (const refused of [new Refusal(400, "no such metric"), new Error("no answer within 60 s")])
  test(`what is asked once is not asked again after: ${refused.message}`, async (t) => {
    const r = rig(t, 0);
    r.p.look();
    await r.refuse(0, refused);
    await r.pass(600_000);
    assert.equal(r.asked.length, 1);
  });
