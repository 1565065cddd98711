// Drawing in turns: what changes at once is drawn over a few frames, a little in each, so that none is long.

/** turnMs is how much is drawn in one frame before the rest waits for the next. Its layout costs about as much again. */
const turnMs = 1.2;

/** Frames is how a page gets its frames: next begins one, painted comes when it is on the screen; now is a clock, in milliseconds. unseen: nobody looks, and none is long. */
export interface Frames {
  now: () => number;
  unseen: () => boolean;
  next: () => Promise<unknown>;
  painted: () => Promise<unknown>;
}

export const screenFrames = (): Frames => {
  const channel = new MessageChannel();
  let told: () => void = () => {};
  channel.port1.onmessage = () => told();
  return {
    now: () => performance.now(),
    unseen: () => document.hidden,
    next: () =>
      new Promise<void>((done) => {
        if (document.hidden) return done(); // there are no frames, and timers are slow
        const late = setTimeout(done, 1000); // hidden meanwhile
        requestAnimationFrame(() => {
          clearTimeout(late);
          done();
        });
      }),
    // What is posted in a frame comes when it is painted.
    painted: () =>
      new Promise((done) => {
        told = () => done(undefined);
        channel.port2.postMessage(0);
      }),
  };
};

export class Turns {
  private readonly due = new Set<() => void>();
  private readonly last = new Set<() => void>();
  private painted: (() => void)[] = []; // who waits for the frame that is drawn
  private going = false;
  private spent = 0;

  constructor(private readonly frames: Frames) {}

  /** ask has something drawn in its turn, once, however often it is asked for until then. */
  ask = (draw: () => void): void => {
    this.due.add(draw);
    if (!this.going) void this.go();
  };

  forget = (draw: () => void): void => void this.due.delete(draw);

  /** later calls f when all that was asked for is drawn, in the same frame. */
  later = (f: () => void): void => {
    this.last.add(f);
    if (!this.going) void this.go();
  };

  /** after is later, and resolves when that is on the screen, with how long all of it took, without waiting for frames. */
  async after(f: () => void): Promise<number> {
    const before = this.spent;
    await new Promise<void>((done) => {
      this.later(() => {
        f();
        this.painted.push(done);
      });
    });
    return this.spent - before;
  }

  private next(): (() => void) | undefined {
    for (const all of [this.due, this.last])
      for (const f of all) {
        all.delete(f);
        return f;
      }
    return undefined;
  }

  private async go(): Promise<void> {
    this.going = true;
    while (this.due.size + this.last.size > 0) {
      await this.frames.next();
      const begun = this.frames.now();
      do {
        try {
          this.next()?.();
        } catch (e) {
          reportError(e); // the others are drawn all the same
        }
        await undefined; // what was asked to be drawn again is drawn when this goes on
      } while (this.due.size + this.last.size > 0 && (this.frames.unseen() || this.frames.now() - begun < turnMs));
      await this.frames.painted();
      this.spent += this.frames.now() - begun;
      for (const done of this.painted.splice(0)) done();
    }
    this.going = false;
  }
}
