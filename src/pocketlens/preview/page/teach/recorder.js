import * as api from "./api.js";

/** Milliseconds between two frames of the camera, at most 15 a second. */
const INTERVAL = 66;

/** Frames that may be under way at the same time; while so many are, frames are skipped. */
const MOST_SENT = 2;

/** The window in milliseconds over which the rate is measured. */
const WINDOW = 2000;

/** Records frames of the camera as examples of a class, as long as a button is held. */
export class Recorder {
  #image;
  #onProgress;
  /** @type {{label: string}|null} The recording that is going on. */
  #current = null;
  #times = [];

  /**
   * @param {() => Promise<Blob|null>} image The current frame; null if there is none.
   * @param {(progress: {label: string, recorded: number, skipped: number, rate: number,
   *   active: boolean, error?: string}) => void} onProgress
   */
  constructor(image, onProgress) {
    this.#image = image;
    this.#onProgress = onProgress;
  }

  /** The class that is recorded; null if none is. */
  get label() {
    return this.#current?.label ?? null;
  }

  /** Record until `stop` is called; at least one frame. */
  async start(label) {
    if (this.#current) return;
    const own = { label };
    this.#current = own;
    this.#times = [];
    const progress = { label, recorded: 0, skipped: 0, rate: 0, active: true };
    const sent = new Set();
    const send = async (burst) => {
      const image = await this.#image();
      if (!image) throw new Error("Start the camera first.");
      const answer = await api.addExample(label, image, { burst });
      if (answer.new) progress.recorded++; // else the frame is the same as an earlier one
      progress.rate = this.#rate();
      this.#onProgress(progress);
    };
    try {
      const { burst } = await api.createBurst();
      do {
        if (sent.size < MOST_SENT) {
          const one = send(burst).catch((error) => {
            progress.error = error.message;
            if (this.#current === own) this.stop();
          });
          sent.add(one);
          one.finally(() => sent.delete(one));
        } else {
          progress.skipped++;
        }
        await new Promise((resolve) => setTimeout(resolve, INTERVAL));
      } while (this.#current === own);
      await Promise.all(sent);
    } catch (error) {
      progress.error = error.message;
    }
    if (this.#current === own) this.stop();
    this.#onProgress({ ...progress, active: false });
  }

  stop() {
    this.#current = null;
  }

  #rate() {
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => now - time < WINDOW), now];
    const span = now - this.#times[0];
    return span > 0 ? ((this.#times.length - 1) * 1000) / span : 0;
  }
}

/**
 * Make a button work while it is held: by pointer, by Space or Enter, or by the click of a screen
 * reader, which starts and stops.
 * @param {HTMLButtonElement} button
 * @param {{start: () => void, stop: () => void, isOn: () => boolean}} actions
 */
export function whileHeld(button, { start, stop, isOn }) {
  const isKey = (event) => event.key === " " || event.key === "Enter";
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    start();
  });
  for (const end of ["pointerup", "pointercancel", "blur"]) button.addEventListener(end, stop);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", (event) => {
    if (!isKey(event)) return;
    event.preventDefault();
    if (!event.repeat) start();
  });
  button.addEventListener("keyup", (event) => {
    if (!isKey(event)) return;
    event.preventDefault();
    stop();
  });
  button.addEventListener("click", (event) => {
    if (event.detail !== 0) return; // of a pointer, which has been held
    if (isOn()) stop();
    else start();
  });
}
