import { byId, create } from "../dom.js";
import { percent } from "../results.js";
import * as api from "./api.js";

const AGAIN = "record it once more, in another place";

/**
 * Show how sure to be of the recognizer.
 * @param {any} sureness of the state; null before the first training.
 * @param {import("./card.js").Actions["change"]} change
 */
export function showSureness(sureness, change) {
  byId("sureness").hidden = !sureness;
  if (!sureness) return;
  byId("sure-text").textContent = wholeText(sureness);
  byId("sure-table").tBodies[0].replaceChildren(...sureness.classes.map(row));
  byId("confused").hidden = !sureness.confused.length;
  byId("confused-list").replaceChildren(...sureness.confused.map((one) => confused(one, change)));
}

function wholeText({ whole, classes }) {
  if (whole.accuracy === null) {
    const single = classes.filter(({ accuracy }) => accuracy === null);
    const names = single.map(({ name }) => name).join(", ");
    return (
      `Not known yet: all examples of ${names} come from one recording, and pictures of one ` +
      "recording are too similar for a test. Record these classes again, in another place."
    );
  }
  return (
    `It named ${percent(whole.accuracy)} of the examples right that it was not trained on ` +
    `(95 % interval: ${interval(whole)}). Tested with whole recordings left out; the interval ` +
    "counts recordings, so more of them make it narrower."
  );
}

function interval({ low, high }) {
  return `${Math.round(100 * low)} to ${Math.round(100 * high)}\u00a0%`;
}

function row(one) {
  const known = one.accuracy !== null;
  const track = create("span", { className: "track", ariaHidden: "true" }, create("span"));
  track.firstChild.style.setProperty("--share", one.accuracy ?? 0);
  const text = known ? `${percent(one.accuracy)}, ${interval(one)}` : AGAIN;
  return create(
    "tr", {},
    create("th", { scope: "row", dir: "auto" }, one.name),
    create("td", {}, String(one.recordings)),
    create("td", {}, ...(known ? [track] : []), create("span", {}, text)),
  );
}

function confused({ label, name, said, confidence }, change) {
  const image = create("img", { src: api.exampleUrl(label, name), alt: "", loading: "lazy" });
  const text = create(
    "p", { className: "small" },
    create("bdi", {}, label), ", taken for ", create("bdi", {}, said), ` (${percent(confidence)})`,
  );
  const move = create("button", { className: "small-button" }, "Move to ", create("bdi", {}, said));
  move.addEventListener("click", () =>
    change(() => api.moveExamples([[label, name]], said), `1 example moved to ${said}`),
  );
  const remove = create("button", { className: "small-button" }, "Delete");
  remove.ariaLabel = `Delete this example of ${label}`;
  remove.addEventListener("click", () =>
    change(() => api.deleteExamples([[label, name]]), "1 example deleted"),
  );
  return create("li", {}, image, create("div", {}, text, create("div", { className: "tools" }, move, remove)));
}
