import { STILL } from "./frames.js";

/** Gives frames to the model: one at a time, and of waiting frames only the newest. */
export class Live {
  #recognizer;
  #onBusy;
  /** @type {import("./frames.js").Frame|null} */
  #next = null;
  #running = false;
  /** Changes with every reset, so that answers to earlier frames are ignored. */
  #round = 0;

  /**
   * @param {import("./recognizer.js").Recognizer} recognizer
   * @param {(busy: boolean) => void} onBusy Called with whether an answer is awaited.
   */
  constructor(recognizer, onBusy) {
    this.#recognizer = recognizer;
    this.#onBusy = onBusy;
  }

  /** @param {import("./frames.js").Frame} frame classified as soon as the previous one is done. */
  send(frame) {
    this.#next = frame;
    if (!this.#running) this.#run();
  }

  /** Ignore frames without an answer, and restart the smoothing. */
  reset() {
    this.#next = null;
    this.#round++;
    this.#recognizer.reset();
  }

  async #run() {
    this.#running = true;
    this.#onBusy(true);
    while (this.#next) {
      const [frame, round] = [this.#next, this.#round];
      this.#next = null;
      const answer = await this.#answer(frame);
      if (answer && round === this.#round) frame.onAnswer(answer, null);
    }
    this.#running = false;
    this.#onBusy(false);
  }

  async #answer({ getCanvas, flags }) {
    const canvas = getCanvas();
    if (!canvas) return null;
    const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    try {
      const still = Boolean(flags & STILL);
      return { models: [await this.#recognizer.classify(image, { still })] };
    } catch ({ message }) {
      return { error: message };
    }
  }
}
