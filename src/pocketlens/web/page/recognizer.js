import { Decision, NOT_SURE } from "./decision.js";
import { FILES } from "./engine/run.js";
import { t } from "./text.js";

/** How many classes an answer lists. */
const TOP = 10;

/** A module whose function returns `i8x16.splat(0)`: both engines need SIMD. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11,
);

/** The model of this page, which runs in a worker. */
export class Recognizer {
  /** What `recognizer.json` says: name, classes, input, thresholds, background. */
  description;
  #worker;
  #decision;
  #number = 0;
  #waiting = new Map();
  /** Why the worker does not answer any more. */
  #problem = null;

  static async load() {
    if (typeof WebAssembly === "undefined") {
      throw new Error(t`This browser has no WebAssembly. Open the page in a newer one.`);
    }
    const recognizer = new Recognizer();
    await recognizer.#load();
    return recognizer;
  }

  async #load() {
    if (!WebAssembly.validate(SIMD)) {
      throw new Error(t`This browser has no SIMD in WebAssembly. Open the page in a newer one.`);
    }
    const [description, ...files] = await Promise.all([
      content("recognizer.json").then((response) => response.json()),
      ...FILES.map((path) => content(path).then((response) => response.arrayBuffer())),
    ]);
    this.description = description;
    this.#decision = this.#newDecision();
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#onAnswer(data));
    this.#worker.addEventListener("error", () => this.#fail(t`The model has stopped. Open the page again.`));
    await this.#ask({ files, input: description.input }, files);
  }

  /** Start again with the smoothing. */
  reset() {
    this.#decision = this.#newDecision();
  }

  /**
   * @param {ImageData} image
   * @param {object} options
   * @param {boolean} options.still A single image, without smoothing.
   * @returns {Promise<import("./api.js").Result>}
   */
  async classify({ data, width, height }, { still }) {
    const decision = still ? this.#newDecision({ still }) : this.#decision;
    const image = { data, width, height };
    const { pixels, probabilities, milliseconds } = await this.#ask({ image }, [data.buffer]);
    const { name, classes, input, background } = this.description;
    const label = (i) => (classes[i] === background ? t`nothing` : classes[i]);
    const order = Array.from(classes.keys()).sort((i, j) => probabilities[j] - probabilities[i]);
    const { shown, confidence, verdict } = decision.add(probabilities);
    return {
      name,
      shown,
      confidence,
      verdict: shown ?? (verdict === NOT_SURE ? t`Not sure` : t`Nothing recognized`),
      top: order.slice(0, TOP).map((i) => [label(i), probabilities[i]]),
      probabilities,
      milliseconds,
      seen: { ...input, channels: input.color === "gray" ? 1 : 3, data: pixels },
    };
  }

  #newDecision(options) {
    const { classes, background, thresholds } = this.description;
    return new Decision(classes, background, thresholds, options);
  }

  async #ask(request, transferred) {
    if (this.#problem) throw new Error(this.#problem);
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...request }, transferred);
    });
  }

  #onAnswer({ id, error, ...answer }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  }

  #fail(message) {
    this.#problem = message;
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }
}

/** One of the site's files. */
async function content(path) {
  let response;
  try {
    response = await fetch(path);
  } catch (error) {
    throw new Error(t`${path} cannot be loaded. Are you online?`, { cause: error });
  }
  if (!response.ok) throw new Error(t`${path} cannot be loaded: status ${response.status}.`);
  return response;
}
