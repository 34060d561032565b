import * as api from "./api.js";
import { create } from "./dom.js";
import { decimal, t } from "./text.js";

/** How many classes have a bar. */
const BARS = 5;

/** A label of more characters is shown in a smaller font. */
const LONG_LABEL = 4;

/** In a bar's name of more characters, the last ones are always visible. */
const LONG_NAME = 12;
const TAIL = 5;

/** The window in milliseconds over which the frame rate is measured. */
const RATE_WINDOW = 1000;

/** The result of one model: the label, bars, the model's input, the speed. */
export class Card {
  #label = create("p", { className: "label", dir: "auto" });
  #confidence = create("p", { className: "confidence muted" });
  #bars = create("ol", { className: "bars", ariaLabel: t`Most probable classes` });
  #seen = create("canvas", { className: "seen", role: "img", hidden: true });
  #speed = create("p", { className: "speed muted small" });
  #why = create("button", { className: "why-button", hidden: true, ariaExpanded: "false" }, "Why?");
  #reason = create("figure", { className: "why", hidden: true, ariaLive: "polite" });
  /** The image that the result belongs to, the most probable class, and a drawing's ink. */
  #explained = null;

  /**
   * @param {string} name of the model.
   * @param {object} options
   * @param {boolean} options.showName
   */
  constructor(name, { showName }) {
    this.name = name;
    this.element = create(
      "article",
      { className: "card", ariaLabel: name },
      ...(showName ? [create("h3", {}, name)] : []),
      create("div", { className: "verdict" }, this.#label, this.#confidence),
      this.#bars,
      create("div", { className: "details" }, this.#seen, this.#speed, this.#why),
      this.#reason,
    );
    this.#why.addEventListener("click", () => (this.#reason.hidden ? this.#explain() : this.#close()));
    this.clear("");
  }

  /** @param {string} text shown in place of a label. */
  clear(text) {
    this.#label.textContent = text;
    this.#label.className = "label quiet";
    this.#confidence.textContent = "";
    this.#bars.replaceChildren();
    this.#seen.hidden = true;
    this.#speed.textContent = "";
    this.#explained = null;
    this.#why.hidden = true;
    this.#close();
  }

  #close() {
    this.#reason.hidden = true;
    this.#why.ariaExpanded = "false";
  }

  /** Show which parts of the current image speak for its most probable class. */
  async #explain() {
    const { image, ...query } = this.#explained;
    this.#why.disabled = true;
    const text = create("figcaption", { className: "muted small" });
    this.#reason.replaceChildren(text);
    try {
      const found = await api.explain(image, { model: this.name, ...query });
      const title = `${found.label}, ${percent(found.confidence)}`;
      text.textContent =
        `${title}. Orange parts speak for it, blue parts against it; the line surrounds the ` +
        `strongest ones. Method: ${found.method}.`;
      const alt = `The parts of the image that speak for ${found.label}`;
      const src = `data:image/png;base64,${found.picture}`;
      this.#reason.prepend(create("img", { src, alt }));
    } catch ({ message }) {
      text.textContent = message;
    }
    this.#why.disabled = false;
    if (this.#explained === null) return;
    this.#reason.hidden = false;
    this.#why.ariaExpanded = "true";
  }

  /**
   * @param {import("./api.js").Result} result
   * @param {object} options
   * @param {boolean} options.seen Whether to show the model's input.
   * @param {number} [options.rate] Frames per second.
   * @param {Blob} options.image The image file.
   * @param {string} [options.ink] The ink of a drawing.
   * @param {boolean} [options.live] Whether the image is a frame of many: an open explanation
   *     stays, and belongs to an earlier frame.
   */
  show(result, { seen, rate, image, ink, live }) {
    if (!live && this.#explained?.image !== image) this.#close();
    this.#explained = { image, label: result.top[0][0], ...(ink ? { ink } : {}) };
    this.#why.hidden = !api.explain;
    this.#label.textContent = result.verdict;
    this.#label.className = labelClass(result.shown);
    this.#confidence.textContent = result.confidence === null ? "" : percent(result.confidence);
    this.#showBars(result.top.slice(0, BARS), result.shown);
    const speed = [`${decimal(result.milliseconds)} ms`];
    if (rate) speed.push(t`${Math.round(rate)} frames per second`);
    this.#speed.textContent = speed.join(" · ");
    this.#seen.hidden = !(seen && result.seen);
    if (!this.#seen.hidden) {
      paintPixels(this.#seen, result.seen);
      const { width, height } = result.seen;
      this.#seen.ariaLabel = t`What ${this.name} sees, ${width} × ${height} pixels`;
    }
  }

  #showBars(top, shown) {
    while (this.#bars.children.length < top.length) this.#bars.append(bar());
    while (this.#bars.children.length > top.length) this.#bars.lastChild.remove();
    top.forEach(([label, probability], index) => {
      const row = this.#bars.children[index];
      const [name, track, share] = row.children;
      row.title = `${label}: ${probability.toFixed(6)}`;
      row.className = label === shown ? "chosen" : "";
      showName(name, label);
      track.firstChild.style.setProperty("--share", probability);
      share.textContent = percent(probability);
    });
  }
}

/** The results of all models for the same frames, side by side. */
export class Results {
  #cards;
  #announce;
  #switch = create("input", { type: "checkbox", checked: true });
  #error = create("p", { className: "notice", role: "alert", hidden: true });
  #announced = null;
  #times = [];

  /**
   * @param {HTMLElement} root
   * @param {{name: string}[]} models
   * @param {(text: string) => void} announce Called with the labels when they change.
   */
  constructor(root, models, announce) {
    this.#announce = announce;
    this.#cards = models.map(({ name }) => new Card(name, { showName: models.length > 1 }));
    const cards = this.#cards.map((card) => card.element);
    root.append(
      this.#error,
      create("div", { className: "cards" }, ...cards),
      create("label", { className: "check" }, this.#switch, " ", t`Show what the model sees`),
    );
  }

  /** Whether the model's input is to be shown. */
  get wantsSeen() {
    return this.#switch.checked;
  }

  /** @param {() => void} callback Called when `wantsSeen` changes. */
  onSwitch(callback) {
    this.#switch.addEventListener("change", callback);
  }

  /** @param {string} text to show while there is no image. */
  clear(text) {
    for (const card of this.#cards) card.clear(text);
    this.#error.hidden = true;
    this.#announced = null;
    this.#times = [];
  }

  /**
   * @param {{models: import("./api.js").Result[], error?: string}} answer
   * @param {{image: Blob, ink?: string, live?: boolean}} shown See `Card.show`.
   */
  show(answer, shown) {
    this.#error.hidden = !answer.error;
    if (answer.error) {
      this.#error.textContent = answer.error;
      return;
    }
    const rate = this.#frameRate();
    for (const card of this.#cards) {
      const result = answer.models.find(({ name }) => name === card.name);
      // A result is missing if the server has other models now; the page will be reloaded soon.
      if (result) card.show(result, { seen: this.wantsSeen, rate, ...shown });
    }
    const text = labelsAsText(answer.models);
    if (text !== this.#announced) this.#announce(text);
    this.#announced = text;
  }

  #frameRate() {
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => now - time < RATE_WINDOW), now];
    const [first] = this.#times;
    return now > first ? ((this.#times.length - 1) * 1000) / (now - first) : undefined;
  }
}

/**
 * The labels as text for a screen reader.
 * @param {import("./api.js").Result[]} results
 */
export function labelsAsText(results) {
  if (results.length === 1) return results[0].verdict;
  return results.map(({ name, verdict }) => `${name}: ${verdict}`).join("; ");
}

/** The class of an element that shows a verdict. */
export function labelClass(label) {
  if (label === null) return "label quiet";
  return label.length > LONG_LABEL ? "label long" : "label";
}

/** If there is no space, the middle is left out: long names often differ only at the end. */
function showName(element, name) {
  if (element.textContent === name) return;
  const characters = [...name];
  const tail = characters.length > LONG_NAME ? TAIL : 0;
  const head = characters.slice(0, characters.length - tail).join("");
  element.replaceChildren(
    create("span", { className: "head" }, head),
    create("span", {}, characters.slice(characters.length - tail).join("")),
  );
}

function bar() {
  const track = create("span", { className: "track", ariaHidden: "true" }, create("span"));
  const name = create("span", { className: "name", dir: "auto" });
  return create("li", {}, name, track, create("span"));
}

/** @param {number} probability */
export function percent(probability) {
  return `${decimal(100 * probability)}\u00a0%`;
}

/** Draw the model's input; one pixel of the canvas for each pixel. */
function paintPixels(canvas, { width, height, channels, data }) {
  const isText = typeof data === "string"; // base64, from a server
  const bytes = isText ? Uint8Array.from(atob(data), (character) => character.charCodeAt(0)) : data;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * pixel + channel] = bytes[channels * pixel + (channels === 3 ? channel : 0)];
    }
    image.data[4 * pixel + 3] = 255;
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}
