import { create } from "./dom.js";
import { percent } from "./results.js";

/** Characters of a number that is shown as large as the label of a single digit. */
const SHORT = 4;

/** The number that one model has read in a photo, and how sure it is of each digit. */
export class NumberCard {
  #label = create("p", { className: "label quiet" }, "…");
  #digits = create("ol", { className: "digits", ariaLabel: "Digits" });

  /**
   * @param {string} name of the model.
   * @param {object} options
   * @param {boolean} options.showName
   */
  constructor(name, { showName }) {
    this.name = name;
    const heading = showName ? [create("h3", {}, name)] : [];
    const verdict = create("div", { className: "verdict" }, this.#label);
    this.element = create(
      "article",
      { className: "card number", ariaLabel: `Number read by ${name}`, hidden: true },
      ...heading,
      verdict,
      this.#digits,
    );
  }

  /** @param {{number: string, digits: import("./api.js").Digit[]}|undefined} found */
  show(found) {
    this.#label.textContent = found ? numberText(found) : "…";
    const quiet = !found?.digits.length;
    const long = !quiet && found.number.length > SHORT;
    this.#label.className = `label${quiet ? " quiet" : ""}${long ? " long" : ""}`;
    const items = (found?.digits ?? []).map(({ label, confidence, sure }) =>
      create("li", { className: sure ? "" : "unsure" }, create("strong", {}, label), ` ${percent(confidence)}`),
    );
    this.#digits.replaceChildren(...items);
  }
}

/** @param {{number: string, digits: object[]}} found */
export function numberText({ number, digits }) {
  return digits.length ? number : "no digits";
}

/**
 * Boxes around the digits, in shares of the photo.
 * @param {{width: number, height: number, models: {digits: import("./api.js").Digit[]}[]}} answer
 * @returns {HTMLElement[]} for the first model that has found some.
 */
export function boxes({ width, height, models }) {
  const digits = models.find((each) => each.digits.length)?.digits ?? [];
  return digits.map(({ label, sure, box: [left, top, right, bottom] }) => {
    const text = create("span", {}, sure ? label : `${label}?`);
    const element = create("div", { className: sure ? "digit-box" : "digit-box unsure" }, text);
    Object.assign(element.style, {
      left: `${(100 * left) / width}%`,
      top: `${(100 * top) / height}%`,
      width: `${(100 * (right - left)) / width}%`,
      height: `${(100 * (bottom - top)) / height}%`,
    });
    return element;
  });
}
