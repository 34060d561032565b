import * as api from "./api.js";
import { Crop } from "./crop.js";
import { byId, create, showNotice } from "./dom.js";
import { loadImage } from "./images.js";
import { NumberCard, boxes, numberText } from "./number.js";
import { Card, labelClass, labelsAsText, percent } from "./results.js";
import { t } from "./text.js";

/**
 * The tab for image files: dropped anywhere on the page, pasted, or chosen.
 * @param {import("./views.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function photo(shared) {
  const list = byId("photos");
  // Thumbnails show what the models see; all of the photo if they see different parts of it.
  const [input, ...others] = shared.models.map((model) => model.input);
  const ratio = input.width / input.height;
  const alike = others.every((each) => each.crop === input.crop && each.width / each.height === ratio);
  list.dataset.crop = alike ? input.crop : "fit";
  list.style.setProperty("--aspect-ratio", alike ? ratio : 1);
  byId("photo-number-field").hidden = !shared.models.some((model) => model.reads_numbers);
  const onMode = () => list.classList.toggle("whole", byId("photo-number").checked);
  byId("photo-number").addEventListener("change", onMode);
  onMode();
  let queue = Promise.resolve();

  function add(files) {
    if (!files.length) return;
    shared.showTab("photo");
    const items = files.map((file) => new Photo(file, { ...shared, onRemove: update }));
    for (const item of items) {
      list.prepend(item.element);
      queue = queue.then(() => item.classify());
    }
    if (items.length === 1) items[0].open();
    update();
  }

  function update() {
    for (const id of ["photo-clear", "crop-help"]) byId(id).hidden = !list.children.length;
  }

  byId("files").addEventListener("change", ({ target }) => {
    add([...target.files]);
    target.value = "";
  });
  byId("photo-clear").addEventListener("click", () => {
    for (const item of [...list.children]) item.dispatchEvent(new Event("dispose"));
    byId("files").focus();
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) event.preventDefault();
    add(files);
  });
  acceptDrops(add);

  return { enter() {}, leave() {} };
}

/** A photo in the list: a line with its result; opened, it shows the photo and the details. */
class Photo {
  element;
  #file;
  #shared;
  #address;
  #name;
  /** What the models have read: the file, or the part of it that was chosen. */
  #image;
  #answer = null;
  /** The answer about a whole number; null while single images are classified. */
  #numbers = null;
  #announced = null;
  #running = false;
  #again = false;
  /** @type {Crop|null} */
  #crop = null;
  #cards = [];
  #numberCards = [];
  #picker;
  #thumbnail;
  #verdicts = create("p", { className: "verdicts" }, "…");
  #error = create("p", { className: "notice", role: "alert", hidden: true });
  #details;

  /**
   * @param {File} file
   * @param {import("./views.js").Shared & {onRemove: () => void}} shared
   */
  constructor(file, shared) {
    this.#file = this.#image = file;
    this.#shared = shared;
    this.#address = URL.createObjectURL(file);
    this.#name = file.name || t`Pasted image`;
    this.#thumbnail = create("img", { alt: "" });
    this.#paintThumbnail(this.#address);
    const name = create("p", { className: "file muted small", title: this.#name }, this.#name);
    const text = create("div", { className: "line" }, this.#verdicts, name);
    // Details with the same name: opening one closes the others.
    this.#details = create(
      "details",
      { name: "photo" },
      create("summary", {}, create("div", { className: "thumbnail" }, this.#thumbnail), text),
    );
    const ariaLabel = t`Remove ${this.#name}`;
    const remove = create("button", { className: "remove", ariaLabel }, "×");
    this.element = create("li", { className: "photo" }, this.#details, remove, this.#error);
    this.#details.addEventListener("toggle", () => this.#details.open && this.open());
    byId("photo-seen").addEventListener("change", this.#show);
    byId("photo-number").addEventListener("change", this.#onMode);
    remove.addEventListener("click", () => {
      const next = this.element.nextSibling ?? this.element.previousSibling;
      this.#dispose();
      (next?.querySelector("summary") ?? byId("files")).focus();
    });
    this.element.addEventListener("dispose", () => this.#dispose());
  }

  /** Show the photo and the details of its result. */
  open() {
    this.#details.open = true;
    if (this.#cards.length) return;
    const { models, corrections } = this.#shared;
    this.#cards = models.map(({ name }) => new Card(name, { showName: models.length > 1 }));
    this.#numberCards = models
      .filter((model) => model.reads_numbers)
      .map(({ name }, _, all) => new NumberCard(name, { showName: all.length > 1 }));
    this.#picker = corrections.picker();
    const stage = create("div", { className: "stage" });
    const elements = [...this.#numberCards, ...this.#cards].map((card) => card.element);
    const cards = create("div", { className: "cards" }, ...elements);
    const results = create("div", { className: "results" }, cards, this.#picker.element);
    this.#details.append(create("div", { className: "columns" }, stage, results));
    this.#show();
    this.#loadStage(stage);
  }

  async #loadStage(stage) {
    let image;
    try {
      image = await loadImage(this.#address);
      await image.decode();
    } catch {
      stage.replaceWith(
        create("p", { className: "muted" }, t`The browser cannot show this image.`),
      );
      return;
    }
    this.#crop = new Crop(image, {
      name: this.#name,
      models: this.#shared.models,
      onChange: () => this.classify(),
      announce: this.#shared.announceStatus,
    });
    stage.replaceWith(this.#crop.element);
    this.#show();
  }

  #onMode = () => this.classify();

  /** Classify the photo, or the chosen part of it; of several changes only the newest. */
  async classify() {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    while (this.#again && this.element.isConnected) {
      this.#again = false;
      await this.#read();
    }
    this.#running = false;
  }

  async #read() {
    try {
      const image = (await this.#crop?.png()) ?? this.#file;
      const whole = byId("photo-number").checked;
      this.#answer = whole ? null : await api.predict(image);
      this.#numbers = whole ? await api.readNumber(image) : null;
      if (image !== this.#image) {
        this.#image = image;
        this.#showThumbnail();
      }
      showNotice(this.#error, null);
    } catch ({ message }) {
      this.#answer = this.#numbers = null;
      showNotice(this.#error, message);
    }
    this.#show();
    const text = this.#numbers
      ? numbersAsText(this.#numbers.models)
      : this.#answer && labelsAsText(this.#answer.models);
    if (text && text !== this.#announced) this.#shared.announceResult(`${this.#name}: ${text}`);
    this.#announced = text;
  }

  #show = () => {
    const results = this.#answer?.models ?? [];
    const numbers = this.#numbers?.models ?? [];
    const lines = [
      ...results.map((each) => verdict(each, results.length > 1)),
      ...numbers.map((each) => numberLine(each, numbers.length > 1)),
    ];
    this.#verdicts.replaceChildren(...lines);
    this.#verdicts.hidden = !lines.length;
    this.#picker?.setImage(this.#answer && this.#image);
    for (const card of this.#cards) {
      const result = results.find(({ name }) => name === card.name);
      card.element.hidden = Boolean(this.#numbers) || (!result && !this.#error.hidden);
      if (result) card.show(result, { seen: byId("photo-seen").checked, image: this.#image });
      else card.clear("…");
    }
    for (const card of this.#numberCards) {
      card.element.hidden = !this.#numbers;
      card.show(numbers.find(({ name }) => name === card.name));
    }
    this.#crop?.mark(this.#numbers ? boxes(this.#numbers) : []);
  };

  #showThumbnail() {
    const old = this.#thumbnail.src;
    const whole = this.#image === this.#file;
    this.#paintThumbnail(whole ? this.#address : URL.createObjectURL(this.#image));
    if (old !== this.#address) URL.revokeObjectURL(old);
  }

  /** The server reads some formats that the browser cannot show. */
  async #paintThumbnail(address) {
    try {
      await loadImage(address);
      this.#thumbnail.src = address;
    } catch {
      this.#thumbnail.classList.add("unreadable");
    }
  }

  #dispose() {
    URL.revokeObjectURL(this.#thumbnail.src);
    URL.revokeObjectURL(this.#address);
    byId("photo-seen").removeEventListener("change", this.#show);
    byId("photo-number").removeEventListener("change", this.#onMode);
    this.element.remove();
    this.#shared.onRemove();
  }
}

/** The result of one model on the photo's line. */
function verdict({ name, shown, verdict, confidence }, named) {
  const text = create("strong", { className: labelClass(shown), dir: "auto" }, verdict);
  const share = confidence === null ? "" : ` ${percent(confidence)}`;
  return create("span", {}, named ? `${name}: ` : "", text, share);
}

/** The number that one model has read, on the photo's line. */
function numberLine(found, named) {
  const className = labelClass(found.digits.length ? found.number : null);
  return create("span", {}, named ? `${found.name}: ` : "", create("strong", { className }, numberText(found)));
}

function numbersAsText(models) {
  if (models.length === 1) return numberText(models[0]);
  return models.map((each) => `${each.name}: ${numberText(each)}`).join(", ");
}

/**
 * Accept files that are dropped anywhere on the page.
 * @param {(files: File[], target: Element) => void} add Called with the element under the pointer.
 */
export function acceptDrops(add) {
  const overlay = byId("drop-overlay");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    overlay.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    // Without a related target, the pointer has left the window.
    if (!event.relatedTarget) overlay.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files], event.target);
  });
}
