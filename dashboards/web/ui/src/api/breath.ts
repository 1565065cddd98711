// Long work in slices, so that the page draws and answers in between.

/** sliceMs is how long work may take before the page gets its turn; a frame has 16 ms for everything. */
const sliceMs = 2;
const pauseMs = 8;

/** Breath counts what work took, and lets the page have its turn when that is much. */
export class Breath {
  private slice = 0;
  private ended = 0;
  private worked = 0; // on one event

  /** work does something that cannot be divided, and counts it. */
  work<T>(f: () => T): T {
    const begun = performance.now();
    if (begun - this.ended > pauseMs) this.slice = 0; // there was a pause of itself
    const out = f();
    this.ended = performance.now();
    this.slice += this.ended - begun;
    this.worked += this.ended - begun;
    return out;
  }

  /** pause waits, if there was enough work for one turn. Who sees nothing need not wait. */
  async pause(enough = sliceMs): Promise<void> {
    if (this.slice < enough || document.hidden) return;
    await new Promise((done) => setTimeout(done, pauseMs));
    this.slice = 0;
  }

  /** drawn waits until what a store was just set to is on the screen, and says how long that and the work before it took: not what was waited for. */
  async drawn(): Promise<number> {
    const begun = performance.now();
    if (!document.hidden)
      await new Promise((done) => {
        const late = setTimeout(done, 1000); // hidden meanwhile: there are no frames
        requestAnimationFrame(() =>
          setTimeout(() => {
            clearTimeout(late);
            done(undefined);
          }),
        );
      });
    const took = this.worked + performance.now() - begun;
    this.worked = 0;
    return took;
  }
}
