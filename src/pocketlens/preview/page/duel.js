import * as api from "./api.js";
import { byId, notify } from "./dom.js";
import { Pad } from "./pad.js";
import { STILL, Wire } from "./socket.js";

/** Milliseconds from one drawing to the next; the server wants the same answer several times. */
const PACE = 100;

/** Close codes that say that there is no such duel, or that it is full. */
const REFUSED = [1008, 1013];

/**
 * @typedef {object} Standing What the server tells after every change.
 * @property {"waiting"|"countdown"|"drawing"|"pause"|"over"} phase
 * @property {number} round
 * @property {number} best_of
 * @property {string|null} prompt
 * @property {number} seconds left of the phase.
 * @property {{name: string, score: number}} you
 * @property {{name: string, score: number}|null} other
 * @property {boolean|null} won the round, or in `over` the match; null for nobody.
 */

/**
 * The tab for the game of two.
 * @param {import("./main.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function duel({ models, live, announce, tell }) {
  const pad = new Pad(byId("duel-pad"), { ink: models[0].input.ink, changed() {}, announce: tell });
  /** @type {Wire|null} */
  let wire = null;
  /** @type {Standing|null} */
  let standing = null;
  let deadline = 0;
  let timer = 0;
  let encoding = false;

  function join(code) {
    leave();
    notify(byId("duel-fault"), null);
    const query = new URLSearchParams({ name: byId("player").value });
    const path = `/ws/duel/${encodeURIComponent(code)}?${query}`;
    wire = new Wire(path, { heard, changed: (link) => changed(link), final: REFUSED });
    const link = new URL(`?duel=${encodeURIComponent(code)}`, location.origin);
    byId("room-code").textContent = code;
    byId("room-link").textContent = byId("room-link").href = link.href;
    byId("copy-link").textContent = "Copy the link";
    history.replaceState(null, "", `${link.search}#duel`);
    timer = setInterval(beat, PACE);
  }

  function leave() {
    if (wire) history.replaceState(null, "", "/#duel");
    wire?.close();
    wire = standing = null;
    clearInterval(timer);
    byId("room").hidden = true;
    byId("lobby").hidden = false;
  }

  function changed({ state, milliseconds, reason }) {
    if (state === "closed") {
      leave();
      notify(byId("duel-fault"), reason || "The duel is closed.");
    } else if (state === "waiting") {
      // Whoever is cut off has left the match; the room is kept for a while.
      standing = null;
      notify(byId("duel-fault"), `Connection lost; trying again in ${seconds(milliseconds)}.`);
    } else if (state === "open") {
      notify(byId("duel-fault"), null);
    }
  }

  function heard(message) {
    notify(byId("duel-fault"), message.error ?? null);
    if (message.error) return;
    const before = standing;
    standing = message;
    deadline = performance.now() + 1000 * message.seconds;
    byId("lobby").hidden = true;
    byId("room").hidden = false;
    if (before?.phase !== message.phase || before?.round !== message.round) enterPhase(message);
    if (before?.other && !message.other) {
      notify(byId("duel-fault"), `${before.other.name} has left.`);
    }
    showScores(message);
    showClock();
  }

  function enterPhase({ phase }) {
    const words = headline(standing);
    byId("prompt").textContent = words;
    byId("invitation").hidden = phase !== "waiting";
    byId("again").hidden = phase !== "over";
    byId("room").dataset.phase = phase;
    pad.enabled = phase === "drawing";
    byId("takes").textContent = "";
    if (phase === "countdown") pad.renew();
    if (phase === "drawing") byId("duel-pad").focus({ preventScroll: true });
    if (phase === "over") byId("again").focus({ preventScroll: true });
  }

  function showScores({ you, other, round, best_of }) {
    show("mine", you);
    show("theirs", other);
    byId("round").textContent = round ? `Round ${round}, best of ${best_of}` : "";
  }

  function show(id, player) {
    byId(id).querySelector(".who").textContent = player?.name ?? "…";
    byId(id).querySelector("strong").textContent = player?.score ?? "";
  }

  function showClock() {
    const left = Math.max(0, deadline - performance.now());
    const counts = ["countdown", "drawing"].includes(standing?.phase);
    byId("clock").textContent = counts ? Math.ceil(left / 1000) : "";
  }

  /** Ten times a second: the clock, and while it counts the drawing, changed or not. */
  async function beat() {
    showClock();
    if (standing?.phase !== "drawing" || encoding || wire.waiting || pad.isEmpty) return;
    encoding = true;
    try {
      const picture = await pad.png();
      if (picture) wire?.send(picture);
      if (picture) live.offer({ picture: async () => picture, flags: STILL, heard: takes });
    } finally {
      encoding = false;
    }
  }

  function takes({ models: said }) {
    if (standing?.phase !== "drawing" || !said) return;
    const label = said[0].shown;
    byId("takes").textContent = label === null ? "It is not sure yet." : `It sees ${a(label)}.`;
  }

  byId("join").addEventListener("submit", (event) => {
    event.preventDefault();
    const code = byId("code").value.trim().toUpperCase();
    if (code) join(code);
    else byId("code").focus();
  });
  byId("open-duel").addEventListener("click", async () => {
    try {
      join((await api.openDuel()).code);
    } catch (error) {
      notify(byId("duel-fault"), error.message);
    }
  });
  byId("copy-link").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("room-link").href);
      tell("Copied");
      byId("copy-link").textContent = "Copied";
    } catch (error) {
      notify(byId("duel-fault"), `The link cannot be copied: ${error.message}`);
    }
  });
  byId("duel-undo").addEventListener("click", () => pad.undo());
  byId("duel-clear").addEventListener("click", () => pad.clear());
  byId("again").addEventListener("click", () => wire?.send(JSON.stringify({ again: true })));
  byId("leave").addEventListener("click", () => {
    leave();
    announce("You have left the duel");
    byId("open-duel").focus();
  });
  byId("code").value = new URLSearchParams(location.search).get("duel") ?? "";
  pad.enabled = false;

  return { enter() {}, leave };
}

/** What the big line says. */
function headline({ phase, prompt, won, you, other }) {
  if (phase === "waiting") return "Waiting for the other player";
  if (phase === "countdown") return "Get ready";
  if (phase === "drawing") return `Draw ${a(prompt)}`;
  const who = won === null ? "Nobody wins" : won ? "You win" : `${other.name} wins`;
  if (phase === "pause") return `${who} the round`;
  const scores = [you.score, other.score].sort().reverse();
  return `${who} the duel, ${scores.join(" : ")}`;
}

/** A label with its article, as it is said: "an 8". */
function a(label) {
  return /^([aeio]|8|11$|18$)/i.test(label) ? `an ${label}` : `a ${label}`;
}

function seconds(milliseconds) {
  return milliseconds < 1000 ? "half a second" : `${milliseconds / 1000} s`;
}
