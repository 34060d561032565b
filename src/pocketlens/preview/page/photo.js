import * as api from "./api.js";
import { byId, create, showNotice } from "./dom.js";
import { Card, labelsAsText } from "./results.js";

/**
 * The tab for image files: dropped anywhere on the page, pasted, or chosen.
 * @param {import("./main.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function photo({ models, corrections, announceResult, showTab }) {
  const list = byId("photos");
  const seen = byId("photo-seen");
  let queue = Promise.resolve();

  function add(files) {
    if (!files.length) return;
    showTab("photo");
    for (const file of files) {
      const item = photoItem(file);
      list.prepend(item.element);
      queue = queue.then(() => item.classify());
    }
    updateClearButton();
  }

  function updateClearButton() {
    byId("photo-clear").hidden = !list.children.length;
  }

  function photoItem(file) {
    const address = URL.createObjectURL(file);
    const name = file.name || "Pasted image";
    const image = create("img", { src: address, alt: name });
    // The server reads some formats that the browser cannot show.
    image.addEventListener("error", () => image.classList.add("unreadable"));
    const error = create("p", { className: "notice", role: "alert", hidden: true });
    const cards = models.map((model) => new Card(model.name, { showName: models.length > 1 }));
    for (const card of cards) card.clear("…");
    const picker = corrections.picker();
    const remove = create("button", { className: "remove", ariaLabel: `Remove ${name}` }, "×");
    const element = create(
      "li",
      { className: "photo" },
      create("div", { className: "thumbnail" }, image, remove),
      create("p", { className: "file muted small", title: name }, name),
      error,
      create("div", { className: "cards" }, ...cards.map((card) => card.element)),
      picker.element,
    );
    let answer = null;

    function show() {
      if (!answer) return;
      for (const card of cards) {
        const result = answer.models.find((each) => each.name === card.name);
        card.show(result, { seen: seen.checked });
      }
    }

    function dispose() {
      URL.revokeObjectURL(address);
      seen.removeEventListener("change", show);
      element.remove();
      updateClearButton();
    }

    seen.addEventListener("change", show);
    remove.addEventListener("click", dispose);
    element.addEventListener("dispose", dispose);

    async function classify() {
      if (!element.isConnected) return;
      try {
        answer = await api.predict(file);
        show();
        picker.setImage(file);
        announceResult(`${name}: ${labelsAsText(answer.models)}`);
      } catch ({ message }) {
        for (const card of cards) card.element.hidden = true;
        showNotice(error, message);
      }
    }

    return { element, classify };
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

/** Accept files that are dropped anywhere on the page. */
function acceptDrops(add) {
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
    add([...event.dataTransfer.files]);
  });
}
