import * as api from "./api.js";
import { camera } from "./camera.js";
import { Corrections } from "./corrections.js";
import { byId, showNotice } from "./dom.js";
import { draw } from "./draw.js";
import { duel } from "./duel/duel.js";
import { photo } from "./photo.js";
import { Live } from "./socket.js";
import { tabs } from "./tabs.js";

/**
 * @typedef {object} Shared What every tab receives.
 * @property {{name: string, classes: string[], input: api.Input}[]} models
 * @property {Live} live
 * @property {Corrections} corrections
 * @property {(text: string) => void} announceResult Announces a result to screen readers.
 * @property {(text: string) => void} announceStatus Announces an action to screen readers.
 * @property {(name: string) => void} showTab
 */

async function main() {
  let description;
  try {
    description = await api.model();
  } catch (error) {
    showNotice(byId("error"), error.message);
    return;
  }
  const { models } = description;
  const names = models.map(({ name }) => name).join(" and ");
  byId("models").textContent = names;
  document.title = `${names} · Pocketlens`;

  const announceStatus = (text) => (byId("status-announcement").textContent = text);
  const views = {};
  let current = null;
  const showTab = tabs(document.querySelector("[role=tablist]"), (name) => {
    if (name === current) return;
    views[current]?.leave();
    live.reset();
    current = name;
    views[name].enter();
    history.replaceState(null, "", `${name === "duel" ? location.search : "/"}#${name}`);
  });
  let wasDisconnected = false;
  const live = new Live((connection) => {
    showConnection(connection);
    if (connection.state === "open" && wasDisconnected) reloadIfModelsChanged(description);
    wasDisconnected ||= connection.state === "waiting";
  }, showBusy);
  const shared = {
    models,
    live,
    corrections: new Corrections(description.corrections, announceStatus),
    announceResult: (text) => (byId("result-announcement").textContent = text),
    announceStatus,
    showTab,
  };
  Object.assign(views, {
    draw: draw(shared),
    camera: camera(shared),
    photo: photo(shared),
    duel: duel(shared),
  });
  const invited = new URLSearchParams(location.search).has("duel");
  const requested = location.hash.slice(1);
  // Nobody draws photos.
  const first = models.every(({ input }) => input.color !== "gray") ? "photo" : "draw";
  showTab(invited ? "duel" : requested in views ? requested : first);
}

/** After a reconnect: another preview may be running at this address now. */
async function reloadIfModelsChanged(description) {
  try {
    const now = await api.model();
    if (JSON.stringify(now) !== JSON.stringify(description)) location.reload();
  } catch (error) {
    showNotice(byId("error"), error.message);
  }
}

/** @param {import("./socket.js").Connection} connection */
function showConnection({ state, milliseconds, reason }) {
  const line = byId("connection");
  line.dataset.state = state;
  const seconds = Math.ceil((milliseconds ?? 0) / 1000);
  line.textContent = {
    connecting: "Connecting",
    open: "Connected",
    waiting: `${reason || "Connection lost"}; trying again in ${seconds} s`,
  }[state];
}

/** @param {boolean} busy Whether the page waits for an answer. */
function showBusy(busy) {
  byId("connection").dataset.busy = String(busy);
}

main();
