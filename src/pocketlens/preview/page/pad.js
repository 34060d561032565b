import { t } from "./text.js";

/** The side of the image in pixels; small models need less. */
const SIDE = 280;

/** How far an arrow key moves the pen, as a share of the canvas; the second one with Shift. */
const STEP = 0.04;
const SMALL_STEP = 0.01;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {object} Stroke
 * @property {number} width as a share of the canvas.
 * @property {[number, number][]} points from (0, 0), the upper left corner, to (1, 1).
 */

/** A canvas to draw on with mouse, touch, pen or keyboard. */
export class Pad {
  /** The width of the next strokes, as a share of the canvas. */
  width = 0.08;

  #canvas;
  #ink;
  #options;
  /** @type {Stroke[]} A new array after each change; only the current stroke grows in place. */
  #strokes = [];
  #history = [];
  #pointer = null;
  #enabled = true;
  #keys = new Set();
  #cursor = { x: 0.5, y: 0.5, down: false, visible: false };
  #paintRequest = 0;
  #image = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {object} options
   * @param {"dark"|"light"} options.ink Black lines on white, or white lines on black.
   * @param {() => void} options.onChange Called after every change.
   * @param {(text: string) => void} options.announce Announces an action to screen readers.
   */
  constructor(canvas, options) {
    this.#canvas = canvas;
    this.#ink = options.ink;
    this.#options = options;
    canvas.classList.add(`ink-${options.ink}`);
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#up(event));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("keyup", (event) => this.#keys.delete(event.key));
    canvas.addEventListener("blur", () => this.#onBlur());
    new ResizeObserver(() => this.#repaint()).observe(canvas);
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  /** Whether the user can draw. */
  set enabled(value) {
    this.#enabled = value;
    this.#canvas.ariaDisabled = String(!value);
    if (!value) this.#endStroke();
  }

  /** Undo the last stroke, or the last clearing. */
  undo() {
    this.#endStroke();
    this.#strokes = this.#history.pop() ?? [];
    this.#changed();
  }

  /** Remove all strokes; can be undone. */
  clear() {
    this.#endStroke();
    if (this.isEmpty) return;
    this.#history.push(this.#strokes);
    this.#strokes = [];
    this.#changed();
  }

  /** Remove all strokes and the history; cannot be undone. */
  reset() {
    this.#endStroke();
    this.#strokes = [];
    this.#history = [];
    this.#changed();
  }

  /**
   * The current drawing as pixels; null if the canvas is empty.
   * @returns {HTMLCanvasElement|null}
   */
  canvas() {
    if (this.isEmpty) return null;
    paint(this.#image.getContext("2d", { willReadFrequently: true }), SIDE, this.#strokes, this.#ink);
    return this.#image;
  }

  /**
   * The current drawing as PNG; null if the canvas is empty.
   * @returns {Promise<Blob|null>}
   */
  async png() {
    const canvas = this.canvas();
    return canvas && new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  #begin(point) {
    this.#history.push(this.#strokes);
    this.#strokes = [...this.#strokes, { width: this.width, points: [point] }];
    this.#changed();
  }

  #add(points) {
    this.#strokes.at(-1).points.push(...points);
    this.#changed();
  }

  #down(event) {
    if (!this.#enabled || this.#pointer !== null || event.button !== 0) return;
    this.#endStroke();
    this.#cursor.visible = false;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#position(event));
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    // In Safari only since version 18.2.
    const coalesced = event.getCoalescedEvents?.() ?? [];
    this.#add((coalesced.length ? coalesced : [event]).map((each) => this.#position(each)));
  }

  #up(event) {
    if (event.pointerId === this.#pointer) this.#pointer = null;
  }

  #position(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      this.#keys.add(event.key);
      this.#step(event.shiftKey ? SMALL_STEP : STEP);
    } else if (event.key === " ") {
      if (!event.repeat) this.#togglePen();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
      this.#options.announce(t`Cleared`);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** All pressed arrow keys move the pen, so that two of them move it diagonally. */
  #step(distance) {
    const cursor = this.#cursor;
    for (const key of this.#keys) {
      cursor.x = Math.min(1, Math.max(0, cursor.x + distance * ARROWS[key][0]));
      cursor.y = Math.min(1, Math.max(0, cursor.y + distance * ARROWS[key][1]));
    }
    cursor.visible = true;
    if (cursor.down) this.#add([[cursor.x, cursor.y]]);
    else this.#repaint();
  }

  #togglePen() {
    const cursor = this.#cursor;
    if (cursor.down) {
      this.#endStroke();
      this.#options.announce(t`Pen up`);
    } else if (this.#enabled && this.#pointer === null) {
      cursor.down = cursor.visible = true;
      this.#begin([cursor.x, cursor.y]);
      this.#options.announce(t`Pen down`);
    }
  }

  /** End the current stroke, if any. */
  #endStroke() {
    this.#pointer = null;
    this.#cursor.down = false;
    this.#repaint();
  }

  #onBlur() {
    this.#keys.clear();
    this.#cursor.visible = false;
    this.#endStroke();
  }

  #changed() {
    this.#repaint();
    this.#options.onChange();
  }

  #repaint() {
    this.#paintRequest ||= requestAnimationFrame(() => {
      this.#paintRequest = 0;
      const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
      if (!side) return;
      if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
      const context = this.#canvas.getContext("2d");
      paint(context, side, this.#strokes, this.#ink);
      if (this.#cursor.visible) this.#paintCursor(context, side);
    });
  }

  #paintCursor(context, side) {
    const { x, y, down } = this.#cursor;
    context.beginPath();
    context.arc(x * side, y * side, (this.width / 2 + 0.012) * side, 0, 2 * Math.PI);
    context.lineWidth = 0.012 * side;
    context.strokeStyle = down ? "#d55e00" : "#0072b2";
    context.stroke();
  }
}

/** Paint the background and the strokes into a square of `side` pixels. */
function paint(context, side, strokes, ink) {
  const [background, line] = ink === "light" ? ["#000", "#fff"] : ["#fff", "#000"];
  context.fillStyle = background;
  context.fillRect(0, 0, side, side);
  context.strokeStyle = context.fillStyle = line;
  context.lineCap = context.lineJoin = "round";
  for (const { width, points } of strokes) {
    context.beginPath();
    if (points.length === 1) {
      context.arc(points[0][0] * side, points[0][1] * side, (width / 2) * side, 0, 2 * Math.PI);
      context.fill();
    } else {
      context.lineWidth = width * side;
      for (const [x, y] of points) context.lineTo(x * side, y * side);
      context.stroke();
    }
  }
}
