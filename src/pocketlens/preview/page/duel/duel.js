import * as api from "../api.js";
import { byId, showNotice } from "../dom.js";
import { Pad } from "../pad.js";
import { STILL } from "../frames.js";
import { ReconnectingSocket } from "../socket.js";

/** Milliseconds between two drawings; the server needs the same label several times in a row. */
const INTERVAL = 100;

/** Close codes for a duel that does not exist, or that is full. */
const REFUSED = [1008, 1013];

/** Under these names, the page can be opened only on the computer that serves it. */
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

/**
 * @typedef {object} State The state of the match, sent by the server after every change.
 * @property {"waiting"|"countdown"|"drawing"|"pause"|"over"} phase
 * @property {number} round
 * @property {number} best_of
 * @property {string|null} prompt
 * @property {number} seconds left of the phase.
 * @property {{name: string, score: number}} you
 * @property {{name: string, score: number}|null} other
 * @property {boolean|null} won Whether you won the round, or the match if it is `over`; null for
 *   nobody.
 */

/**
 * The tab for the game of two players.
 * @param {import("../views.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function duel({ models, live, announceResult, announceStatus }) {
  const ink = models[0].input.ink;
  const pad = new Pad(byId("duel-pad"), { ink, onChange() {}, announce: announceStatus });
  /** @type {ReconnectingSocket|null} */
  let socket = null;
  /** @type {State|null} */
  let state = null;
  let deadline = 0;
  let timer = 0;
  let encoding = false;

  function join(code) {
    leave();
    showError(null);
    const query = new URLSearchParams({ name: byId("player").value });
    const path = `/ws/duel/${encodeURIComponent(code)}?${query}`;
    socket = new ReconnectingSocket(path, {
      onMessage,
      onChange: onConnectionChange,
      finalCodes: REFUSED,
    });
    const link = new URL(`?duel=${encodeURIComponent(code)}`, location.origin);
    byId("room-code").textContent = code;
    byId("room-link").textContent = byId("room-link").href = link.href;
    byId("copy-link").textContent = "Copy link";
    history.replaceState(null, "", `${link.search}#duel`);
    timer = setInterval(update, INTERVAL);
  }

  /** @param {string|null} code of the duel that the user is invited to. */
  function showInvitation(code) {
    byId("invited").hidden = code === null;
    byId("invited").textContent = `You are invited to the duel ${code}.`;
    byId("code-field").hidden = code !== null;
    byId("join-duel").classList.toggle("primary", code !== null);
    byId("create-duel").classList.toggle("primary", code === null);
  }

  function leave() {
    if (socket) {
      history.replaceState(null, "", "/#duel");
      showInvitation(null);
    }
    socket?.close();
    socket = state = null;
    clearInterval(timer);
    byId("room").hidden = true;
    byId("lobby").hidden = false;
  }

  function onConnectionChange({ state: connection, milliseconds, reason }) {
    if (connection === "closed") {
      leave();
      showError(reason || "The duel is closed.");
    } else if (connection === "waiting") {
      // For the server, a lost connection means that the player has left. The room is kept.
      state = null;
      showError(`Connection lost; trying again in ${seconds(milliseconds)}.`);
    } else if (connection === "open") {
      showError(null);
    }
  }

  function onMessage(message) {
    showError(message.error ?? null);
    if (message.error) return;
    const before = state;
    state = message;
    deadline = performance.now() + 1000 * message.seconds;
    byId("lobby").hidden = true;
    byId("room").hidden = false;
    if (before?.phase !== message.phase || before?.round !== message.round) enterPhase(message);
    if (before?.other && !message.other) showError(`${before.other.name} has left.`);
    showScores(message);
    showClock();
  }

  function enterPhase({ phase }) {
    byId("prompt").textContent = headline(state);
    byId("invitation").hidden = phase !== "waiting";
    byId("again").hidden = phase !== "over";
    byId("room").dataset.phase = phase;
    pad.enabled = phase === "drawing";
    byId("recognized").textContent = "";
    if (phase === "countdown") pad.reset();
    if (phase === "drawing") byId("duel-pad").focus({ preventScroll: true });
    if (phase === "over") byId("again").focus({ preventScroll: true });
  }

  function showError(text) {
    showNotice(byId("duel-error"), text);
  }

  function showScores({ you, other, round, best_of }) {
    showPlayer("own-score", you);
    showPlayer("other-score", other);
    byId("round").textContent = round ? `Round ${round}, best of ${best_of}` : "";
  }

  function showPlayer(id, player) {
    byId(id).querySelector(".who").textContent = player?.name ?? "…";
    byId(id).querySelector("strong").textContent = player?.score ?? "";
  }

  function showClock() {
    const left = Math.max(0, deadline - performance.now());
    const visible = ["countdown", "drawing"].includes(state?.phase);
    byId("clock").textContent = visible ? Math.ceil(left / 1000) : "";
  }

  /** Ten times a second: update the clock, and send the drawing even if it has not changed. */
  async function update() {
    showClock();
    if (state?.phase !== "drawing" || encoding || socket.bufferedAmount || pad.isEmpty) return;
    encoding = true;
    try {
      const image = await pad.png();
      if (image) socket?.send(image);
      if (image) live.send({ getImage: async () => image, flags: STILL, onAnswer: showRecognized });
    } finally {
      encoding = false;
    }
  }

  function showRecognized({ models: results }) {
    if (state?.phase !== "drawing" || !results) return;
    const label = results[0].shown;
    byId("recognized").textContent =
      label === null ? "Not recognized yet." : `The model sees ${withArticle(label)}.`;
  }

  byId("join").addEventListener("submit", (event) => {
    event.preventDefault();
    const code = byId("code").value.trim().toUpperCase();
    if (code) join(code);
    else byId("code").focus();
  });
  byId("create-duel").addEventListener("click", async () => {
    try {
      join((await api.createDuel()).code);
    } catch (error) {
      showError(error.message);
    }
  });
  byId("copy-link").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("room-link").href);
      announceStatus("Copied");
      byId("copy-link").textContent = "Copied";
    } catch (error) {
      showError(`The link cannot be copied: ${error.message}`);
    }
  });
  byId("duel-undo").addEventListener("click", () => pad.undo());
  byId("duel-clear").addEventListener("click", () => pad.clear());
  byId("again").addEventListener("click", () => socket?.send(JSON.stringify({ again: true })));
  byId("leave").addEventListener("click", () => {
    leave();
    announceResult("You have left the duel");
    byId("create-duel").focus();
  });
  const code = new URLSearchParams(location.search).get("duel") ?? "";
  const invitation = code.slice(0, byId("code").maxLength) || null;
  byId("code").value = invitation ?? "";
  showInvitation(invitation);
  byId("only-here").hidden = !LOOPBACK.includes(location.hostname);
  pad.enabled = false;

  return { enter() {}, leave };
}

/** The large text above the canvas. */
function headline({ phase, prompt, won, you, other }) {
  if (phase === "waiting") return "Waiting for the other player";
  if (phase === "countdown") return "Get ready";
  if (phase === "drawing") return `Draw ${withArticle(prompt)}`;
  const winner = won === null ? "Nobody wins" : won ? "You win" : `${other.name} wins`;
  if (phase === "pause") return `${winner} the round`;
  const scores = [you.score, other.score].sort().reverse();
  return `${winner} the duel, ${scores.join(" : ")}`;
}

/** A label with its spoken article: "a 7", "an 8". */
function withArticle(label) {
  return /^([aeio]|8|11$|18$)/i.test(label) ? `an ${label}` : `a ${label}`;
}

function seconds(milliseconds) {
  return milliseconds < 1000 ? "half a second" : `${milliseconds / 1000} s`;
}
