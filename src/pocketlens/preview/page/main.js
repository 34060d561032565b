import * as api from "./api.js";
import { camera } from "./camera.js";
import { Corrections } from "./corrections.js";
import { byId, notify } from "./dom.js";
import { draw } from "./draw.js";
import { duel } from "./duel.js";
import { photo } from "./photo.js";
import { Live } from "./socket.js";
import { tabs } from "./tabs.js";

/**
 * @typedef {object} Shared What every tab is given.
 * @property {{name: string, classes: string[], input: api.Input}[]} models
 * @property {Live} live
 * @property {Corrections} corrections
 * @property {(words: string) => void} announce Says what is seen, to a screen reader.
 * @property {(words: string) => void} tell Says what was done, to a screen reader.
 * @property {(name: string) => void} choose Shows a tab.
 */

async function main() {
  let description;
  try {
    description = await api.model();
  } catch (error) {
    notify(byId("fault"), error.message);
    return;
  }
  const { models } = description;
  const names = models.map(({ name }) => name).join(" and ");
  byId("models").textContent = names;
  document.title = `${names} · Pocketlens`;

  const tell = (words) => (byId("told").textContent = words);
  const views = {};
  let current = null;
  const show = tabs(document.querySelector("[role=tablist]"), (name) => {
    if (name === current) return;
    views[current]?.leave();
    live.reset();
    current = name;
    views[name].enter();
    history.replaceState(null, "", `${name === "duel" ? location.search : "/"}#${name}`);
  });
  let cut = false;
  const live = new Live((link) => {
    showLink(link);
    if (link.state === "open" && cut) reloadIfOthers(description);
    cut ||= link.state === "waiting";
  }, showBusy);
  const shared = {
    models,
    live,
    corrections: new Corrections(description.corrections, tell),
    announce: (words) => (byId("said").textContent = words),
    tell,
    choose: show,
  };
  Object.assign(views, {
    draw: draw(shared),
    camera: camera(shared),
    photo: photo(shared),
    duel: duel(shared),
  });
  const invited = new URLSearchParams(location.search).has("duel");
  const asked = location.hash.slice(1);
  show(invited ? "duel" : asked in views ? asked : "draw");
}

/** Another preview may have taken the place of the one that was cut. */
async function reloadIfOthers(description) {
  try {
    const now = await api.model();
    if (JSON.stringify(now) !== JSON.stringify(description)) location.reload();
  } catch (error) {
    notify(byId("fault"), error.message);
  }
}

/** @param {import("./socket.js").Link} link */
function showLink({ state, milliseconds, reason }) {
  const line = byId("connection");
  line.dataset.state = state;
  const pause = Math.ceil((milliseconds ?? 0) / 1000);
  line.textContent = {
    connecting: "Connecting",
    open: "Connected",
    waiting: `${reason || "Connection lost"}; trying again in ${pause} s`,
  }[state];
}

/** @param {boolean} busy Whether an answer is awaited. */
function showBusy(busy) {
  byId("connection").dataset.busy = String(busy);
}

main();
