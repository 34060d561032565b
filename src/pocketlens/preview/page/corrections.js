import * as api from "./api.js";
import { byId, create, showNotice } from "./dom.js";

/** More classes than this are shown as a list instead of buttons. */
const MAX_BUTTONS = 12;

/** How many thumbnails are shown at first, and added by each "Show more". */
const PAGE_SIZE = 60;

/** Corrections: the choice of the correct label, and the list of saved images. */
export class Corrections {
  #classes;
  #folder;
  #announce;
  #limit = PAGE_SIZE;

  /**
   * @param {{folder: string, classes: string[]}|null} settings null if nothing is saved.
   * @param {(text: string) => void} announce Announces an action to screen readers.
   */
  constructor(settings, announce) {
    this.#classes = settings?.classes ?? null;
    this.#folder = settings?.folder;
    this.#announce = announce;
    byId("corrections").hidden = !settings;
    byId("corrections-more").addEventListener("click", () => {
      this.#limit += PAGE_SIZE;
      this.#list();
    });
    if (settings) this.#list();
  }

  /**
   * A choice of the correct label for one image at a time.
   * @returns {{element: HTMLElement, setImage: (image: Blob|null) => void}}
   */
  picker() {
    const fieldset = create("fieldset", { className: "picker", disabled: true });
    if (!this.#classes) {
      fieldset.hidden = true;
      return { element: fieldset, setImage() {} };
    }
    const error = create("p", { className: "notice", role: "alert", hidden: true });
    let image = null;

    const save = async (label) => {
      try {
        await api.addCorrection(image, label);
        showNotice(error, null);
        this.#announce(`Saved as ${label}`);
        await this.#list();
      } catch ({ message }) {
        showNotice(error, message);
      }
    };
    fieldset.append(
      create("legend", {}, "Wrong? Save it as"),
      ...this.#choices(save),
      error,
    );
    return {
      element: fieldset,
      setImage(newImage) {
        image = newImage;
        // Only on a change: otherwise the focused button would lose the focus with every frame.
        if (fieldset.disabled !== !newImage) fieldset.disabled = !newImage;
      },
    };
  }

  #choices(save) {
    if (this.#classes.length <= MAX_BUTTONS) {
      return this.#classes.map((label) => {
        const button = create("button", { dir: "auto" }, label);
        button.addEventListener("click", () => save(label));
        return button;
      });
    }
    const options = this.#classes.map((label) => create("option", { dir: "auto" }, label));
    const select = create("select", { ariaLabel: "Correct label" }, ...options);
    const button = create("button", {}, "Save");
    button.addEventListener("click", () => save(select.value));
    return [select, button];
  }

  async #list() {
    let all;
    try {
      all = await api.corrections();
    } catch (error) {
      byId("corrections-status").textContent = error.message;
      return;
    }
    const count = all.length === 1 ? "1 image" : `${all.length} images`;
    byId("corrections-status").textContent =
      `${count} in ${this.#folder}, only on the computer that runs this preview. ` +
      "How to train on them: pocketlens correct --help";
    const items = all.slice(0, this.#limit).map((each) => this.#item(each));
    byId("corrections-list").replaceChildren(...items);
    byId("corrections-more").hidden = all.length <= this.#limit;
  }

  #item(correction) {
    const { label } = correction;
    const ariaLabel = `Delete this ${label}`;
    const remove = create("button", { className: "remove", ariaLabel }, "×");
    remove.addEventListener("click", async () => {
      try {
        await api.deleteCorrection(correction);
        this.#announce(`Deleted: ${label}`);
        await this.#list();
        byId("corrections-title").focus();
      } catch (error) {
        byId("corrections-status").textContent = error.message;
      }
    });
    const src = api.correctionUrl(correction);
    const image = create("img", { src, alt: label, loading: "lazy" });
    return create("li", {}, image, create("span", { dir: "auto" }, label), remove);
  }
}
