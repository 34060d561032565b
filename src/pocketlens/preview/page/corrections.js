import * as api from "./api.js";
import { byId, make, notify } from "./dom.js";

/** More classes than these are chosen from a list. */
const MOST_BUTTONS = 12;

/** How many thumbnails are shown at first, and with each "Show more". */
const PAGE = 60;

/** What was put right: "That was a ...", and the list of what is kept. */
export class Corrections {
  #classes;
  #folder;
  #tell;
  #most = PAGE;

  /**
   * @param {{folder: string, classes: string[]}|null} settings null when nothing is kept.
   * @param {(words: string) => void} tell Told what a screen reader should say.
   */
  constructor(settings, tell) {
    this.#classes = settings?.classes ?? null;
    this.#folder = settings?.folder;
    this.#tell = tell;
    byId("kept").hidden = !settings;
    byId("kept-more").addEventListener("click", () => {
      this.#most += PAGE;
      this.#list();
    });
    if (settings) this.#list();
  }

  /**
   * A choice of classes for one picture at a time.
   * @returns {{element: HTMLElement, take: (picture: Blob|null) => void}} `take` says which.
   */
  picker() {
    const fieldset = make("fieldset", { className: "picker", disabled: true });
    if (!this.#classes) {
      fieldset.hidden = true;
      return { element: fieldset, take() {} };
    }
    const fault = make("p", { className: "notice", role: "alert", hidden: true });
    let picture = null;

    const keep = async (label) => {
      try {
        await api.keep(picture, label);
        notify(fault, null);
        this.#tell(`Kept as ${label}`);
        await this.#list();
      } catch (error) {
        notify(fault, error.message);
      }
    };
    fieldset.append(make("legend", {}, "That was a …"), ...this.#choices(keep), fault);
    return {
      element: fieldset,
      take(taken) {
        picture = taken;
        // Set only when it changes, or a button would lose the focus with every frame.
        if (fieldset.disabled !== !taken) fieldset.disabled = !taken;
      },
    };
  }

  #choices(keep) {
    if (this.#classes.length <= MOST_BUTTONS) {
      return this.#classes.map((label) => {
        const button = make("button", {}, label);
        button.addEventListener("click", () => keep(label));
        return button;
      });
    }
    const options = this.#classes.map((label) => make("option", {}, label));
    const select = make("select", { ariaLabel: "What it was" }, ...options);
    const button = make("button", {}, "Keep");
    button.addEventListener("click", () => keep(select.value));
    return [select, button];
  }

  async #list() {
    let all;
    try {
      all = await api.corrections();
    } catch (error) {
      byId("kept-words").textContent = error.message;
      return;
    }
    const count = all.length === 1 ? "1 picture" : `${all.length} pictures`;
    byId("kept-words").textContent =
      `${count} in ${this.#folder}, on the computer that runs this preview only. ` +
      `Learn from them: pocketlens correct RUN ${this.#folder} --out BETTER`;
    byId("kept-list").replaceChildren(...all.slice(0, this.#most).map((each) => this.#item(each)));
    byId("kept-more").hidden = all.length <= this.#most;
  }

  #item(correction) {
    const { label } = correction;
    const remove = make("button", { className: "remove", ariaLabel: `Delete this ${label}` }, "×");
    remove.addEventListener("click", async () => {
      try {
        await api.forget(correction);
        this.#tell(`Deleted a ${label}`);
        await this.#list();
        byId("kept-title").focus();
      } catch (error) {
        byId("kept-words").textContent = error.message;
      }
    });
    const image = make("img", { src: api.correctionUrl(correction), alt: label, loading: "lazy" });
    return make("li", {}, image, make("span", {}, label), remove);
  }
}
