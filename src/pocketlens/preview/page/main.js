import * as api from "./api.js";
import { camera } from "./camera.js";
import { showBusy, showConnection } from "./connection.js";
import { Corrections } from "./corrections.js";
import { byId, showNotice } from "./dom.js";
import { draw } from "./draw.js";
import { duel } from "./duel/duel.js";
import { photo } from "./photo.js";
import { Live } from "./socket.js";
import { announceStatus, showViews } from "./views.js";

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

  let wasDisconnected = false;
  const live = new Live((connection) => {
    showConnection(connection);
    if (connection.state === "open" && wasDisconnected) reloadIfModelsChanged(description);
    wasDisconnected ||= connection.state === "waiting";
  }, showBusy);
  const corrections = new Corrections(description.corrections, announceStatus);
  const invited = new URLSearchParams(location.search).has("duel");
  showViews(
    { draw, camera, photo, duel },
    { models, live, corrections },
    {
      first: invited ? "duel" : "",
      address: (name) => `${name === "duel" ? location.search : "/"}#${name}`,
    },
  );
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

main();
