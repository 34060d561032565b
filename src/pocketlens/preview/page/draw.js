import { byId } from "./dom.js";
import { DRAWN, SEEN, STILL } from "./frames.js";
import { Pad } from "./pad.js";
import { Results } from "./results.js";
import { t } from "./text.js";

const HINT = t`Draw something`;

/**
 * The tab for drawing.
 * @param {import("./views.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void, image: () => Promise<Blob|null>,
 *   clear: () => void}} `image` is the drawing as a PNG file; null if there is none.
 */
export function draw({ models, live, corrections, announceResult, announceStatus }) {
  const results = new Results(byId("draw-results"), models, announceResult);
  const ink = models[0].input.ink;
  const pad = new Pad(byId("pad"), { ink, onChange: classify, announce: announceStatus });
  const picker = corrections.picker();
  byId("draw-results").append(picker.element);
  results.clear(HINT);
  let active = false;

  function classify() {
    if (!active) return;
    if (pad.isEmpty) {
      live.reset();
      results.clear(HINT);
      picker.setImage(null);
      return;
    }
    live.send({
      getImage: () => pad.png(),
      getCanvas: () => pad.canvas(),
      flags: STILL | DRAWN[ink] | (results.wantsSeen ? SEEN : 0),
      onAnswer(answer, image) {
        if (!active || pad.isEmpty) return;
        results.show(answer, { image, ink });
        picker.setImage(answer.error ? null : image);
      },
    });
  }

  results.onSwitch(classify);
  byId("undo").addEventListener("click", () => pad.undo());
  byId("clear").addEventListener("click", () => pad.clear());
  byId("pen").addEventListener("input", ({ target }) => {
    pad.width = target.valueAsNumber / 100;
    target.setAttribute("aria-valuetext", t`${target.value} % of the canvas`);
  });
  document.addEventListener("keydown", (event) => {
    const undo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z";
    if (!active || !undo || isTextInput(event.target)) return;
    event.preventDefault();
    pad.undo();
    announceStatus(t`Undone`);
  });

  return {
    enter() {
      active = true;
      classify();
    },
    leave() {
      active = false;
    },
    image: () => pad.png(),
    clear: () => pad.clear(),
  };
}

function isTextInput(target) {
  return target.matches("input:not([type=range], [type=checkbox]), textarea");
}
