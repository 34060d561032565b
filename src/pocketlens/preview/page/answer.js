import { make } from "./dom.js";

/** How many classes have a bar. */
const BARS = 5;

/** A label of more letters is shown smaller. */
const LONG = 4;

/** Over how many milliseconds frames are counted. */
const WINDOW = 1000;

/** What one model says: the label, bars, what it sees, how fast it is. */
export class Card {
  #label = make("p", { className: "label" });
  #sure = make("p", { className: "sure soft" });
  #bars = make("ol", { className: "bars", ariaLabel: "Most probable classes" });
  #seen = make("canvas", { className: "seen", role: "img", hidden: true });
  #speed = make("p", { className: "speed soft small" });

  /**
   * @param {string} name of the model.
   * @param {object} options
   * @param {boolean} options.named Whether the name is shown.
   */
  constructor(name, { named }) {
    this.name = name;
    this.element = make(
      "article",
      { className: "card", ariaLabel: name },
      ...(named ? [make("h3", {}, name)] : []),
      make("div", { className: "verdict" }, this.#label, this.#sure),
      this.#bars,
      make("div", { className: "foot" }, this.#seen, this.#speed),
    );
    this.clear("");
  }

  /** @param {string} words instead of a label. */
  clear(words) {
    this.#label.textContent = words;
    this.#label.className = "label quiet";
    this.#sure.textContent = "";
    this.#bars.replaceChildren();
    this.#seen.hidden = true;
    this.#speed.textContent = "";
  }

  /**
   * @param {import("./api.js").Answer} answer
   * @param {object} options
   * @param {boolean} options.seen Whether to show what the model sees.
   * @param {number} [options.rate] Frames per second.
   */
  show(answer, { seen, rate }) {
    this.#label.textContent = answer.shown ?? "nothing";
    this.#label.className = labelStyle(answer.shown);
    this.#sure.textContent = answer.confidence === null ? "" : percent(answer.confidence);
    this.#showBars(answer.top.slice(0, BARS), answer.shown);
    const words = [`${answer.milliseconds.toFixed(1)} ms`];
    if (rate) words.push(`${Math.round(rate)} frames per second`);
    this.#speed.textContent = words.join(" · ");
    this.#seen.hidden = !(seen && answer.seen);
    if (!this.#seen.hidden) {
      paintPixels(this.#seen, answer.seen);
      const { width, height } = answer.seen;
      this.#seen.ariaLabel = `What ${this.name} sees, ${width} × ${height} pixels`;
    }
  }

  #showBars(top, shown) {
    while (this.#bars.children.length < top.length) this.#bars.append(bar());
    while (this.#bars.children.length > top.length) this.#bars.lastChild.remove();
    top.forEach(([label, probability], index) => {
      const row = this.#bars.children[index];
      const [what, track, share] = row.children;
      row.title = `${label}: ${probability.toFixed(6)}`;
      row.className = label === shown ? "chosen" : "";
      what.textContent = label;
      track.firstChild.style.setProperty("--share", probability);
      share.textContent = percent(probability);
    });
  }
}

/** What all models say of the same frames, beside each other. */
export class Answers {
  #cards;
  #announce;
  #switch = make("input", { type: "checkbox", checked: true });
  #fault = make("p", { className: "notice", role: "alert", hidden: true });
  #said = null;
  #times = [];

  /**
   * @param {HTMLElement} root
   * @param {{name: string}[]} models
   * @param {(words: string) => void} announce Told the labels when they change.
   */
  constructor(root, models, announce) {
    this.#announce = announce;
    this.#cards = models.map(({ name }) => new Card(name, { named: models.length > 1 }));
    const cards = this.#cards.map((card) => card.element);
    root.append(
      this.#fault,
      make("div", { className: "cards" }, ...cards),
      make("label", { className: "check" }, this.#switch, " What the model sees"),
    );
  }

  /** Whether what the model sees is to be shown. */
  get wantsSeen() {
    return this.#switch.checked;
  }

  /** @param {() => void} changed Told when that is switched. */
  onSwitch(changed) {
    this.#switch.addEventListener("change", changed);
  }

  /** @param {string} words to show while there is nothing to look at. */
  clear(words) {
    for (const card of this.#cards) card.clear(words);
    this.#fault.hidden = true;
    this.#said = null;
    this.#times = [];
  }

  /** @param {{models: import("./api.js").Answer[], error?: string}} answer */
  show(answer) {
    this.#fault.hidden = !answer.error;
    if (answer.error) {
      this.#fault.textContent = answer.error;
      return;
    }
    const rate = this.#rate();
    for (const card of this.#cards) {
      const said = answer.models.find(({ name }) => name === card.name);
      // Where there is none the server has other models now, and the page is about to be reloaded.
      if (said) card.show(said, { seen: this.wantsSeen, rate });
    }
    const words = spoken(answer.models);
    if (words !== this.#said) this.#announce(words);
    this.#said = words;
  }

  #rate() {
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => now - time < WINDOW), now];
    const [first] = this.#times;
    return now > first ? ((this.#times.length - 1) * 1000) / (now - first) : undefined;
  }
}

/**
 * The labels, for a screen reader.
 * @param {import("./api.js").Answer[]} models
 */
export function spoken(models) {
  const label = ({ shown }) => shown ?? "nothing";
  if (models.length === 1) return label(models[0]);
  return models.map((each) => `${each.name}: ${label(each)}`).join("; ");
}

function labelStyle(label) {
  if (label === null) return "label quiet";
  return label.length > LONG ? "label long" : "label";
}

function bar() {
  const track = make("span", { className: "track", ariaHidden: "true" }, make("span"));
  return make("li", {}, make("span", { className: "what" }), track, make("span"));
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

/** The exact pixels, one of the canvas for one of the model. */
function paintPixels(canvas, { width, height, channels, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * at + channel] = bytes[channels * at + (channels === 3 ? channel : 0)];
    }
    image.data[4 * at + 3] = 255;
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}
