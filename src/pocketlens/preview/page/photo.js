import * as api from "./api.js";
import { Card, spoken } from "./answer.js";
import { byId, make } from "./dom.js";

/**
 * The tab for picture files: dropped anywhere, pasted, or chosen.
 * @param {import("./main.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function photo({ models, corrections, announce, choose }) {
  const list = byId("photos");
  const seen = byId("photo-seen");
  let queue = Promise.resolve();

  function add(files) {
    if (!files.length) return;
    choose("photo");
    for (const file of files) {
      const item = photoItem(file);
      list.prepend(item.element);
      queue = queue.then(() => item.ask());
    }
    count();
  }

  function count() {
    byId("photo-clear").hidden = !list.children.length;
  }

  function photoItem(file) {
    const address = URL.createObjectURL(file);
    const name = file.name || "Pasted picture";
    const image = make("img", { src: address, alt: name });
    // Not every format that the server reads is one that the browser shows.
    image.addEventListener("error", () => image.classList.add("unreadable"));
    const fault = make("p", { className: "notice", role: "alert", hidden: true });
    const cards = models.map((model) => new Card(model.name, { named: models.length > 1 }));
    for (const card of cards) card.clear("…");
    const picker = corrections.picker();
    const remove = make("button", { className: "remove", ariaLabel: `Remove ${name}` }, "×");
    const element = make(
      "li",
      { className: "photo" },
      make("div", { className: "thumb" }, image, remove),
      make("p", { className: "file soft small", title: name }, name),
      fault,
      make("div", { className: "cards" }, ...cards.map((card) => card.element)),
      picker.element,
    );
    let answer = null;

    function show() {
      if (!answer) return;
      for (const card of cards) {
        const said = answer.models.find((each) => each.name === card.name);
        card.show(said, { seen: seen.checked });
      }
    }

    function dispose() {
      URL.revokeObjectURL(address);
      seen.removeEventListener("change", show);
      element.remove();
      count();
    }

    seen.addEventListener("change", show);
    remove.addEventListener("click", dispose);
    element.addEventListener("dispose", dispose);

    async function ask() {
      if (!element.isConnected) return;
      try {
        answer = await api.predict(file);
        show();
        picker.take(file);
        announce(`${name}: ${spoken(answer.models)}`);
      } catch (error) {
        for (const card of cards) card.element.hidden = true;
        fault.textContent = error.message;
        fault.hidden = false;
      }
    }

    return { element, ask };
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
  takeDrops(add);

  return { enter() {}, leave() {} };
}

/** Files that are dropped anywhere on the page. */
function takeDrops(add) {
  const veil = byId("drop-here");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    // Only when the pointer leaves the window is it going to nothing.
    if (!event.relatedTarget) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
}
