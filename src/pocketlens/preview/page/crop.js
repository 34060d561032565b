import { create } from "./dom.js";
import { Guides } from "./guides.js";
import { t } from "./text.js";

/** The image that the models get after a change has at most this height or width in pixels. */
const MAX_SIDE = 1024;

const MAX_ZOOM = 8;
/** The factor of one press of a key, and of one notch of most mouse wheels. */
const ZOOM_STEP = 1.25;
const NOTCH = 100;
/** Pixels per line, for browsers whose wheel events count lines. */
const LINE = 16;

/** How far an arrow key moves the photo, as a share of the window; the second one with Shift. */
const STEP = 0.1;
const SMALL_STEP = 0.01;

/** Smaller images are enlarged with visible pixels. */
const SMALL = 3;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * A photo behind the frames of what the models see.
 *
 * The photo can be turned by 90°, enlarged and moved, with mouse, touch and keyboard. The models
 * get the window, which has the photo's proportions, and crop it as they crop any image; so a frame
 * always shows what its model sees. Black borders next to a moved photo are outside all frames.
 */
export class Crop {
  element;
  #image;
  #canvas;
  #guides;
  #marks = create("div", { className: "marks", ariaHidden: "true" });
  #options;
  #zoomSlider;
  #reset;
  #view = { turn: 0, zoom: 1, x: 0.5, y: 0.5 };
  /** The part of the window that all frames cover together, as shares. */
  #part = { width: 1, height: 1 };
  #pointers = new Map();
  #paintRequest = 0;

  /**
   * @param {HTMLImageElement} image loaded.
   * @param {object} options
   * @param {string} options.name of the photo.
   * @param {import("./views.js").Shared["models"]} options.models
   * @param {() => void} options.onChange Called after every change.
   * @param {(text: string) => void} options.announce Announces an action to screen readers.
   */
  constructor(image, options) {
    this.#image = image;
    this.#options = options;
    this.#guides = new Guides(options.models);
    this.#canvas = create("canvas", { tabIndex: 0, ariaLabel: t`Photo ${options.name}` });
    this.#canvas.setAttribute("role", "application");
    this.#canvas.setAttribute("aria-describedby", "crop-help");
    const box = create("div", { className: "viewfinder crop" });
    box.append(this.#canvas, this.#guides.element, this.#marks);
    this.element = create("div", { className: "stage" }, box, this.#tools());
    this.#listen();
    new ResizeObserver(() => this.#repaint()).observe(this.#canvas);
    this.#fit();
  }

  /**
   * What the models are to read, as PNG; null if nothing was changed.
   * @returns {Promise<Blob|null>}
   */
  png() {
    if (this.#isUnchanged) return Promise.resolve(null);
    const { width, height } = this.#size;
    const scale = Math.min(1, (MAX_SIDE * this.#view.zoom) / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round((width * scale) / this.#view.zoom));
    canvas.height = Math.max(1, Math.round((height * scale) / this.#view.zoom));
    paint(canvas, this.#image, this.#view);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /**
   * Show elements over the window, until the next change.
   * @param {HTMLElement[]} elements
   */
  mark(elements) {
    this.#marks.replaceChildren(...elements);
  }

  get #isUnchanged() {
    const { turn, zoom, x, y } = this.#view;
    return turn === 0 && zoom === 1 && x === 0.5 && y === 0.5;
  }

  /** The size of the turned photo in pixels. */
  get #size() {
    return turnedSize(this.#image, this.#view.turn);
  }

  #tools() {
    const button = (text, label, action) => {
      const element = create("button", { ariaLabel: label, title: label }, text);
      element.addEventListener("click", action);
      return element;
    };
    this.#zoomSlider = create("input", { type: "range", min: 1, max: MAX_ZOOM, step: 0.05 });
    this.#zoomSlider.addEventListener("input", () => {
      this.#zoomTo(this.#zoomSlider.valueAsNumber);
      this.#changed();
    });
    this.#reset = button(t`Reset`, t`Reset the photo`, () => this.#onReset());
    return create(
      "div",
      { className: "tools" },
      button("⟲", t`Turn left`, () => this.#turn(-1)),
      button("⟳", t`Turn right`, () => this.#turn(1)),
      create("label", { className: "slider" }, t`Zoom`, " ", this.#zoomSlider),
      this.#reset,
    );
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, this.#position(event));
    });
    canvas.addEventListener("pointermove", (event) => this.#onMove(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** One pointer moves the photo; two of them move and enlarge it. */
  #onMove(event) {
    if (!this.#pointers.has(event.pointerId)) return;
    const before = this.#grip();
    this.#pointers.set(event.pointerId, this.#position(event));
    const after = this.#grip();
    this.#move(after.x - before.x, after.y - before.y);
    if (before.distance) {
      this.#zoomTo((this.#view.zoom * after.distance) / before.distance, after);
    }
    this.#changed();
  }

  /** The middle of the pointers in shares of the window, and the distance of two in pixels. */
  #grip() {
    const all = [...this.#pointers.values()].slice(0, 2);
    const mean = (side) => all.reduce((sum, each) => sum + each[side], 0) / all.length;
    const [one, two] = all;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const distance = two ? Math.hypot((one.x - two.x) * width, (one.y - two.y) * height) : 0;
    return { x: mean("x"), y: mean("y"), distance };
  }

  /** The wheel scrolls the page, unless the photo has the focus or Ctrl is pressed (or a pinch). */
  #onWheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.#canvas) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1);
    this.#zoomTo(this.#view.zoom * ZOOM_STEP ** (-pixels / NOTCH), this.#position(event));
    this.#changed();
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? SMALL_STEP : STEP;
    if (event.key in ARROWS) {
      const [x, y] = ARROWS[event.key];
      this.#move(x * step, y * step);
      this.#changed();
    } else if (event.key === "+" || event.key === "=") {
      this.#zoomAndAnnounce(ZOOM_STEP);
    } else if (event.key === "-") {
      this.#zoomAndAnnounce(1 / ZOOM_STEP);
    } else if (event.key.toLowerCase() === "r") {
      this.#turn(event.shiftKey ? -1 : 1);
    } else if (event.key === "0") {
      this.#onReset();
    } else {
      return;
    }
    event.preventDefault();
  }

  #zoomAndAnnounce(factor) {
    this.#zoomTo(this.#view.zoom * factor);
    this.#changed();
    this.#options.announce(t`Zoom ${this.#zoomSlider.getAttribute("aria-valuetext")}`);
  }

  /** @param {-1|1} quarter counterclockwise or clockwise. */
  #turn(quarter) {
    const { turn, zoom, x, y } = this.#view;
    const [newX, newY] = quarter > 0 ? [1 - y, x] : [y, 1 - x];
    this.#view = { turn: (turn + quarter + 4) % 4, zoom, x: newX, y: newY };
    this.#fit();
    this.#options.announce(quarter > 0 ? t`Turned to the right` : t`Turned to the left`);
    this.#options.onChange();
  }

  #onReset() {
    this.#view = { turn: 0, zoom: 1, x: 0.5, y: 0.5 };
    this.#fit();
    this.#options.announce(t`Reset`);
    this.#options.onChange();
  }

  /** Move the photo by shares of the window. */
  #move(x, y) {
    this.#view.x -= x / this.#view.zoom;
    this.#view.y -= y / this.#view.zoom;
    this.#limit();
  }

  /** Enlarge the photo; a point of the window, in shares, stays where it is. */
  #zoomTo(value, { x, y } = { x: 0.5, y: 0.5 }) {
    const { zoom } = this.#view;
    const now = Math.min(MAX_ZOOM, Math.max(1, value));
    this.#view.zoom = now;
    this.#view.x += (x - 0.5) * (1 / zoom - 1 / now);
    this.#view.y += (y - 0.5) * (1 / zoom - 1 / now);
    this.#limit();
  }

  /** Keep the photo behind all frames. */
  #limit() {
    const { zoom } = this.#view;
    for (const [axis, side] of [["x", "width"], ["y", "height"]]) {
      const margin = this.#part[side] / zoom / 2;
      this.#view[axis] = Math.min(1 - margin, Math.max(margin, this.#view[axis]));
    }
  }

  /** Fit the window and the frames to the turned photo. */
  #fit() {
    const { width, height } = this.#size;
    this.element.firstChild.style.setProperty("--aspect-ratio", width / height);
    this.#part = this.#guides.fit(width, height);
    this.#limit();
    this.#showState();
  }

  #changed() {
    this.#showState();
    this.#options.onChange();
  }

  #showState() {
    const { zoom } = this.#view;
    this.#zoomSlider.value = zoom;
    this.#zoomSlider.setAttribute("aria-valuetext", `${Math.round(100 * zoom)} %`);
    this.#reset.disabled = this.#isUnchanged;
    this.mark([]);
    this.#repaint();
  }

  #position(event) {
    const box = this.#canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #repaint() {
    this.#paintRequest ||= requestAnimationFrame(() => {
      this.#paintRequest = 0;
      const { clientWidth, clientHeight } = this.#canvas;
      if (!clientWidth || !clientHeight) return;
      this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
      this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
      paint(this.#canvas, this.#image, this.#view);
    });
  }
}

function turnedSize({ naturalWidth: width, naturalHeight: height }, turn) {
  return turn % 2 ? { width: height, height: width } : { width, height };
}

/** Paint a window of the photo that fills the canvas; black where there is no photo. */
function paint(canvas, image, { turn, zoom, x, y }) {
  const context = canvas.getContext("2d");
  const { width, height } = turnedSize(image, turn);
  const scale = [(canvas.width * zoom) / width, (canvas.height * zoom) / height];
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = Math.max(...scale) < SMALL;
  context.translate(canvas.width / 2, canvas.height / 2);
  context.scale(...scale);
  context.translate((0.5 - x) * width, (0.5 - y) * height);
  context.rotate((turn * Math.PI) / 2);
  context.drawImage(image, -image.naturalWidth / 2, -image.naturalHeight / 2);
}
