import { Answers } from "./answer.js";
import { byId } from "./dom.js";
import { Pad } from "./pad.js";
import { SEEN, STILL } from "./socket.js";

const HINT = "Draw something";

/**
 * The tab to draw in.
 * @param {import("./main.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function draw({ models, live, corrections, announce, tell }) {
  const answers = new Answers(byId("draw-answers"), models, announce);
  const pad = new Pad(byId("pad"), { ink: models[0].input.ink, changed, announce: tell });
  const picker = corrections.picker();
  byId("draw-answers").append(picker.element);
  answers.clear(HINT);
  let active = false;

  function changed() {
    if (!active) return;
    if (pad.isEmpty) {
      live.reset();
      answers.clear(HINT);
      picker.take(null);
      return;
    }
    live.offer({
      picture: () => pad.png(),
      flags: STILL | (answers.wantsSeen ? SEEN : 0),
      heard(answer, picture) {
        if (!active || pad.isEmpty) return;
        answers.show(answer);
        picker.take(answer.error ? null : picture);
      },
    });
  }

  answers.onSwitch(changed);
  byId("undo").addEventListener("click", () => pad.undo());
  byId("clear").addEventListener("click", () => pad.clear());
  byId("pen").addEventListener("input", ({ target }) => {
    pad.width = target.valueAsNumber / 100;
    target.setAttribute("aria-valuetext", `${target.value} % of the canvas`);
  });
  document.addEventListener("keydown", (event) => {
    const undo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z";
    if (!active || !undo || isText(event.target)) return;
    event.preventDefault();
    pad.undo();
    tell("Undone");
  });

  return {
    enter() {
      active = true;
      changed();
    },
    leave() {
      active = false;
    },
  };
}

function isText(target) {
  return target.matches("input:not([type=range], [type=checkbox]), textarea");
}
