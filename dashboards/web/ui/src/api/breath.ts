// Long work in slices, so that the page draws and answers in between.

/** sliceMs is how long work may take before the page gets its turn; a frame has 16 ms for everything. */
const sliceMs = 1.2;
const pauseMs = 8;

/** Breath counts what work took, and lets the page have its turn when that is much. */
export class Breath {
  private slice = 0;
  private ended = 0;
  private all = 0; // of one event

  /** work does something that cannot be divided, and counts it. */
  work<T>(f: () => T): T {
    const begun = performance.now();
    if (begun - this.ended > pauseMs) this.slice = 0; // there was a pause of itself
    const out = f();
    this.ended = performance.now();
    this.slice += this.ended - begun;
    this.all += this.ended - begun;
    return out;
  }

  /** pause waits, if there was enough work for one turn. Who sees nothing need not wait. */
  async pause(): Promise<void> {
    if (this.slice < sliceMs || document.hidden) return;
    await new Promise((done) => setTimeout(done, pauseMs));
    this.slice = 0;
  }

  /** took is how long the work since it was last asked for took, without pauses. */
  took(): number {
    const all = this.all;
    this.all = 0;
    return all;
  }
}
