/** The verdict if no class is probable enough. */
export const NOT_SURE = "not sure";

/**
 * Decides from frame to frame which label is shown: the rule of `pocketlens.preview.smoothing`, which
 * is that of the app, too.
 */
export class Decision {
  #classes;
  #background;
  #rule;

  /**
   * @param {string[]} classes
   * @param {string|null} background The class for which no label is shown.
   * @param {{show: number, keep: number, present: number, margin: number, hold: number,
   *   smoothing: number}} thresholds
   * @param {{still?: boolean}} options still: a single image, without smoothing.
   */
  constructor(classes, background, thresholds, { still = false } = {}) {
    this.#classes = classes;
    this.#background = classes.indexOf(background);
    this.#rule = still ? { ...thresholds, hold: 1, smoothing: 1 } : thresholds;
    this.reset();
  }

  /** Forget all frames. */
  reset() {
    this.average = null;
    this.shown = -1;
    this.candidate = -1;
    this.frames = 0;
  }

  /**
   * @param {ArrayLike<number>} probabilities of one frame.
   * @returns {{shown: string|null, confidence: number|null, verdict: string}}
   */
  add(probabilities) {
    const { smoothing, hold, keep } = this.#rule;
    this.average = this.average
      ? this.average.map((value, i) => value + smoothing * (probabilities[i] - value))
      : Float64Array.from(probabilities);
    const best = this.average.indexOf(this.average.reduce((one, other) => Math.max(one, other)));
    const winner = this.#isClear(best) ? best : -1;
    const same = winner >= 0 && winner === this.candidate;
    this.frames = same ? this.frames + 1 : Number(winner >= 0);
    this.candidate = winner;
    if (winner >= 0 && this.frames >= hold) this.shown = winner;
    if (this.shown >= 0 && this.average[this.shown] < keep) this.shown = -1;
    if (this.shown >= 0) {
      const label = this.#classes[this.shown];
      return { shown: label, confidence: this.average[this.shown], verdict: label };
    }
    const nothing = best === this.#background;
    return { shown: null, confidence: null, verdict: nothing ? this.#classes[best] : NOT_SURE };
  }

  #isClear(best) {
    const { show, margin, present } = this.#rule;
    const first = this.average[best];
    const second = this.average.reduce((most, value, i) => (i === best ? most : Math.max(most, value)), 0);
    const there = this.#background < 0 ? 1 : 1 - this.average[this.#background];
    return best !== this.#background && first >= show && first - second >= margin && there >= present;
  }
}
