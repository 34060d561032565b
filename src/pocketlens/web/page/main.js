import * as api from "./api.js";
import { camera } from "./camera.js";
import { byId, create, showNotice } from "./dom.js";
import { draw } from "./draw.js";
import { Live } from "./live.js";
import { keepOffline } from "./offline.js";
import { photo } from "./photo.js";
import { t, translatePage } from "./text.js";
import { showViews } from "./views.js";

/** This page saves no images, so there is nothing to choose. */
const corrections = {
  picker: () => ({ element: create("span", { hidden: true }), setImage() {} }),
};

async function main() {
  translatePage();
  let recognizer;
  try {
    recognizer = await api.recognizer();
  } catch (error) {
    showNotice(byId("error"), error.message);
    byId("connection").textContent = "";
    return;
  }
  show(recognizer);
  const line = byId("connection");
  line.dataset.state = "open";
  line.textContent = t`Ready`;
  let isOld = false;
  const isOffline = await keepOffline(() => {
    isOld = true;
    line.textContent = t`A new version is there; close this page and open it again`;
  });
  if (!isOld) line.textContent = isOffline ? t`Ready, also offline` : t`Ready, only online`;
}

/** @param {import("./recognizer.js").Recognizer} recognizer */
function show(recognizer) {
  const line = byId("connection");
  const live = new Live(recognizer, (busy) => (line.dataset.busy = String(busy)));
  showViews({ draw, camera, photo }, { models: [recognizer.description], live, corrections });
}

main();
