import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../src/state/store";
import { Turns } from "../src/state/turns";

/** hand gives frames and the time by hand. */
function hand() {
  const steps: (() => void)[] = [];
  const step = (): Promise<void> => new Promise((done) => steps.push(done));
  let now = 0;
  let unseen = false;
  const go = async (): Promise<void> => {
    steps.shift()?.();
    for (let i = 0; i < 50; i++) await undefined;
  };
  return {
    turns: new Turns({ now: () => now, unseen: () => unseen, next: step, painted: step }),
    frame: async () => (await go(), await go()),
    busy: (ms: number) => void (now += ms),
    hide: () => void (unseen = true),
  };
}

test("what is asked for is drawn in the next frame, once, in order", async () => {
  const { turns, frame } = hand();
  const drawn: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => () => void drawn.push(name)) as [() => void, () => void, () => void];
  for (const f of [a, b, c, a]) turns.ask(f);
  turns.forget(b);
  assert.deepEqual(drawn, []);
  await frame();
  assert.deepEqual(drawn, ["a", "c"]);
});

test("much is drawn over several frames, and what comes after waits for all of it", async () => {
  const { turns, frame, busy } = hand();
  const drawn: number[] = [];
  for (let i = 0; i < 3; i++) turns.ask(() => (busy(4), drawn.push(i)));
  let took = 0;
  const end = turns.after(() => drawn.push(9)).then((ms) => (took = ms));
  turns.ask(() => turns.ask(() => drawn.push(7))); // one that is not drawn whole asks again
  const seen: number[] = [];
  while (took === 0 && seen.length < 9) {
    await frame();
    seen.push(drawn.length);
  }
  await end;
  assert.deepEqual(seen.slice(0, 3), [1, 2, 3]);
  assert.deepEqual(drawn, [0, 1, 2, 7, 9]);
  assert.equal(took, 12);
});

test("where nobody looks all is drawn at once, and what is for later waits for what is asked meanwhile", async () => {
  const { turns, frame, busy, hide } = hand();
  const drawn: string[] = [];
  hide();
  turns.later(() => drawn.push("later"));
  for (const name of ["a", "b", "c"]) turns.ask(() => (busy(9), drawn.push(name)));
  await frame();
  assert.deepEqual(drawn, ["a", "b", "c", "later"]);
});

test("a store with turns tells who listens in turns, and nobody who went", async () => {
  const { turns, frame } = hand();
  const s = new Store(1, turns);
  const heard: number[] = [];
  s.listen(() => heard.push(s.get()));
  const end = s.listen(() => heard.push(-1));
  s.set(2);
  s.set(3);
  end();
  await frame();
  assert.deepEqual(heard, [3]);
});
