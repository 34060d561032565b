import { create } from "./dom.js";

/**
 * The part of an image that a model sees, as shares of its width and height.
 * @param {number} width of the image.
 * @param {number} height
 * @param {import("./api.js").Input} input
 * @returns {{width: number, height: number}} centered, each in (0, 1].
 */
export function visiblePart(width, height, input) {
  if (input.crop !== "center-crop") return { width: 1, height: 1 };
  const wider = width / height / (input.width / input.height);
  return { width: Math.min(1, 1 / wider), height: Math.min(1, wider) };
}

/** Frames around the parts of an image that the models see; models with equal parts share one. */
export class Guides {
  element = create("div", { className: "guides" });
  #models;

  /** @param {{name: string, input: import("./api.js").Input}[]} models */
  constructor(models) {
    this.#models = models;
  }

  /**
   * Fit the frames to an image of this size.
   * @param {number} width
   * @param {number} height
   * @returns {{width: number, height: number}} the smallest part with all frames, in shares.
   */
  fit(width, height) {
    const parts = new Map();
    for (const { name, input } of this.#models) {
      const part = visiblePart(width, height, input);
      const key = `${part.width.toFixed(4)} ${part.height.toFixed(4)}`;
      parts.set(key, { ...part, names: [...(parts.get(key)?.names ?? []), name] });
    }
    this.element.replaceChildren(...[...parts.values()].map((each) => guide(each, parts.size > 1)));
    const largest = (side) => Math.max(...[...parts.values()].map((each) => each[side]));
    return { width: largest("width"), height: largest("height") };
  }
}

function guide({ width, height, names }, named) {
  const element = create("div", { className: "guide" });
  element.style.setProperty("--width", width);
  element.style.setProperty("--height", height);
  if (named) element.append(create("span", { dir: "auto" }, names.join(", ")));
  return element;
}
