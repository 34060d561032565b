import { byId } from "./dom.js";
import { tabs } from "./tabs.js";

/** Announces an action to screen readers. */
export const announceStatus = (text) => (byId("status-announcement").textContent = text);

/** Announces a result to screen readers. */
const announceResult = (text) => (byId("result-announcement").textContent = text);

/**
 * @typedef {object} Shared What every view receives.
 * @property {{name: string, classes: string[], input: import("./api.js").Input}[]} models
 * @property {import("./socket.js").Live} live
 * @property {import("./corrections.js").Corrections} corrections
 * @property {(text: string) => void} announceResult
 * @property {(text: string) => void} announceStatus
 * @property {(name: string) => void} showTab
 */

/**
 * Create the views of the page and show the first one.
 * @param {Record<string, (shared: Shared) => {enter: () => void, leave: () => void}>} kinds By the id
 *   of their panel.
 * @param {object} given What all of them receive: models, live and corrections.
 * @param {object} options
 * @param {string} options.first The id of the first one; another word stands for the usual one.
 * @param {(name: string) => string} options.address The page's address while a view is shown.
 */
export function showViews(kinds, given, { first = "", address = (name) => `#${name}` } = {}) {
  const views = {};
  let current = null;
  const showTab = tabs(document.querySelector("[role=tablist]"), (name) => {
    if (name === current) return;
    views[current]?.leave();
    given.live.reset();
    current = name;
    views[name].enter();
    history.replaceState(null, "", address(name));
  });
  const shared = { ...given, announceResult, announceStatus, showTab };
  for (const [name, view] of Object.entries(kinds)) views[name] = view(shared);
  const requested = first || location.hash.slice(1);
  // Nobody draws photos.
  const usual = given.models.every(({ input }) => input.color !== "gray") ? "photo" : "draw";
  showTab(Object.hasOwn(views, requested) ? requested : usual);
}
