import { byId } from "./dom.js";

/**
 * Show the state of the connection.
 * @param {import("./socket.js").Connection} connection
 */
export function showConnection({ state, milliseconds, reason }) {
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
export function showBusy(busy) {
  byId("connection").dataset.busy = String(busy);
}
