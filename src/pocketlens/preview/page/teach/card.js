import { create, showNotice } from "../dom.js";
import * as api from "./api.js";
import { whileHeld } from "./recorder.js";

/** How many thumbnails are shown at first: the newest ones. */
const SHOWN = 18;

/**
 * @typedef {object} Actions What the cards ask of the page.
 * @property {(label: string) => void} record
 * @property {() => void} stop
 * @property {() => string|null} recording The class that is recorded.
 * @property {(label: string) => Promise<void>} addDrawing
 * @property {(label: string, files: File[]) => void} addFiles
 * @property {(label: string) => string[]} others The names of the other classes.
 * @property {(work: () => Promise<any>, done: string) => Promise<boolean>} change
 */

/** A class: its name, the buttons that add examples, and its examples. */
export class ClassCard {
  #name;
  #actions;
  #examples = [];
  #all = false;
  #chosen = new Set();
  /** @type {Map<string, HTMLElement>} The thumbnails by name. */
  #items = new Map();
  #title = create("h3", { dir: "auto" });
  #count = create("p", { className: "muted small" });
  #record = create("button", { className: "primary record" });
  #drawing = create("button", { className: "primary", hidden: true }, "Add the drawing");
  #files = create("input", {
    className: "visually-hidden", type: "file", accept: "image/*,.heic,.heif", multiple: true,
  });
  #status = create("p", { className: "small status", role: "status" });
  #error = create("p", { className: "notice small", role: "alert", hidden: true });
  #list = create("ul", { className: "examples" });
  #more = create("button", { className: "small-button", hidden: true });
  #selection = create("div", { className: "selection", hidden: true });
  #rename = create("button", { className: "small-button" }, "Rename");
  #head;

  /**
   * @param {string} name
   * @param {Actions} actions
   */
  constructor(name, actions) {
    this.#name = name;
    this.#actions = actions;
    const remove = create("button", { className: "small-button" }, "Delete");
    remove.ariaLabel = `Delete the class ${name}`;
    this.#rename.ariaLabel = `Rename the class ${name}`;
    this.#title.textContent = name;
    const choose = create("label", { className: "button" }, "Add photos", this.#files);
    this.#files.ariaLabel = `Add photos to ${name}`;
    this.#list.ariaLabel = `Examples of ${name}`;
    this.#drawing.ariaLabel = `Add the drawing to ${name}`;
    this.#head = create(
      "div", { className: "class-head" },
      create("div", {}, this.#title, this.#count),
      create("div", { className: "tools" }, this.#rename, remove),
    );
    this.element = create(
      "li", { className: "class card" }, this.#head,
      create("div", { className: "tools add" }, this.#record, this.#drawing, choose),
      this.#status, this.#error, this.#list, this.#more, this.#selection,
    );
    this.element.dataset.name = name;
    this.#showRecording(false);
    whileHeld(this.#record, {
      start: () => actions.record(name),
      stop: () => actions.stop(),
      isOn: () => actions.recording() === name,
    });
    this.#drawing.addEventListener("click", () => actions.addDrawing(name));
    this.#files.addEventListener("change", ({ target }) => {
      actions.addFiles(name, [...target.files]);
      target.value = "";
    });
    this.#rename.addEventListener("click", () => this.#startRename());
    remove.addEventListener("click", () =>
      actions.change(() => api.removeClass(name), `Deleted the class ${name}`),
    );
    this.#more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.#showExamples();
    });
  }

  /** @param {string[]} examples Their names, oldest first. */
  update(examples) {
    if (this.#count.textContent && examples.join("/") === this.#examples.join("/")) return;
    this.#examples = examples;
    const known = new Set(examples);
    for (const name of this.#chosen) if (!known.has(name)) this.#chosen.delete(name);
    this.#count.textContent = examples.length === 1 ? "1 example" : `${examples.length} examples`;
    this.#showExamples();
    this.#showSelection();
  }

  /** @param {"camera"|"draw"} mode What adds examples now. */
  setMode(mode) {
    this.#record.hidden = mode !== "camera";
    this.#drawing.hidden = mode !== "draw";
  }

  /**
   * Show how a recording or an upload goes.
   * @param {string} text
   * @param {{error?: string|null, recording?: boolean}} [more]
   */
  showStatus(text, { error = null, recording = false } = {}) {
    this.#status.textContent = text;
    showNotice(this.#error, error);
    this.#showRecording(recording);
  }

  focus() {
    (this.#record.hidden ? this.#drawing : this.#record).focus();
  }

  #showRecording(active) {
    this.#record.textContent = active ? "Recording" : "Hold to record";
    this.#record.ariaLabel = active ? `Recording ${this.#name}` : `Hold to record ${this.#name}`;
    this.#record.ariaPressed = String(active);
  }

  #showExamples() {
    const count = this.#all ? this.#examples.length : SHOWN;
    const shown = this.#examples.slice(-count).reverse();
    const wanted = new Set(shown);
    for (const [name, item] of this.#items) {
      if (wanted.has(name)) continue;
      item.remove();
      this.#items.delete(name);
    }
    shown.forEach((name, index) => {
      if (!this.#items.has(name)) this.#items.set(name, this.#item(name));
      const item = this.#items.get(name);
      const there = this.#list.children[index];
      if (there !== item) this.#list.insertBefore(item, there ?? null);
    });
    this.#more.hidden = this.#examples.length <= SHOWN;
    this.#more.textContent = this.#all ? "Show fewer" : `Show all ${this.#examples.length}`;
  }

  #item(name) {
    const src = api.exampleUrl(this.#name, name);
    const image = create("img", { src, alt: "", loading: "lazy" });
    const button = create("button", { className: "example", ariaPressed: "false" }, image);
    const number = this.#examples.indexOf(name) + 1;
    button.ariaLabel = `Example ${number} of ${this.#name}`;
    button.addEventListener("click", () => {
      if (!this.#chosen.delete(name)) this.#chosen.add(name);
      button.ariaPressed = String(this.#chosen.has(name));
      this.#showSelection();
    });
    return create("li", {}, button);
  }

  /** What can be done with the chosen examples. */
  #showSelection() {
    this.#selection.hidden = this.#chosen.size === 0;
    for (const [name, item] of this.#items) {
      item.firstChild.ariaPressed = String(this.#chosen.has(name));
    }
    if (this.#selection.hidden) {
      this.#selection.replaceChildren();
      return;
    }
    const text = create("p", { className: "small" }, `${this.#chosen.size} chosen`);
    const others = this.#actions.others(this.#name);
    const options = others.map((name) => create("option", { value: name, dir: "auto" }, name));
    const select = create(
      "select", { ariaLabel: "Move the chosen examples to" },
      create("option", { value: "" }, "Move to …"), ...options,
    );
    select.addEventListener("change", () => {
      const to = select.value;
      if (to) this.#changeChosen((chosen) => api.moveExamples(chosen, to), `moved to ${to}`);
    });
    const remove = create("button", {}, "Delete");
    remove.ariaLabel = "Delete the chosen examples";
    remove.addEventListener("click", () => this.#changeChosen(api.deleteExamples, "deleted"));
    const none = create("button", {}, "Choose none");
    none.addEventListener("click", () => {
      this.#chosen.clear();
      this.#showSelection();
      this.focus();
    });
    const every = create("button", {}, "Choose all");
    every.addEventListener("click", () => {
      this.#chosen = new Set(this.#examples);
      this.#showSelection();
    });
    const bar = [text, ...(others.length ? [select] : []), remove, every, none];
    this.#selection.replaceChildren(...bar);
  }

  async #changeChosen(work, done) {
    const chosen = [...this.#chosen].map((name) => [this.#name, name]);
    const count = chosen.length === 1 ? "1 example" : `${chosen.length} examples`;
    if (!(await this.#actions.change(() => work(chosen), `${count} ${done}`))) return;
    this.#chosen.clear();
    this.#showSelection();
    this.focus();
  }

  #startRename() {
    const input = create("input", { value: this.#name, maxLength: 100, dir: "auto" });
    input.ariaLabel = `New name of ${this.#name}`;
    const save = create("button", {}, "Save");
    const cancel = create("button", { type: "button" }, "Cancel");
    const form = create("form", { className: "rename" }, input, save, cancel);
    const close = () => {
      form.replaceWith(this.#head);
      this.#rename.focus();
    };
    cancel.addEventListener("click", close);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const to = input.value;
      const work = () => api.renameClass(this.#name, to);
      if (!(await this.#actions.change(work, `Renamed to ${to}`))) input.focus();
    });
    this.#head.replaceWith(form);
    input.select();
  }
}
