import { byId, create } from "../dom.js";

const KINDS = {
  coreml: ["Core ML file", "for Xcode, and for pocketlens preview"],
  app: ["iPhone app", "a complete Xcode project"],
  web: ["Web page", "runs in any phone’s browser; put the folder on a web server"],
  onnx: ["ONNX model", "for other programs"],
};

/**
 * Show what can be taken along.
 * @param {import("./api.js").State} state
 */
export function showWritten({ written, learned, out }) {
  byId("taking").hidden = !learned;
  byId("take-text").textContent = written.length
    ? `Everything is also in the folder ${out}, beside the examples.`
    : "A Core ML file, an iPhone app, a web page and an ONNX model, each checked on this computer.";
  byId("take").textContent = written.length ? "Make the files again" : "Make the files";
  byId("written").replaceChildren(...written.map(item));
}

function item({ kind, name, size, checked }) {
  const [title, use] = KINDS[kind];
  const file = kind === "onnx" ? name : `${name}.zip`;
  const href = `/api/written/${encodeURIComponent(file)}`;
  const link = create("a", { className: "button", href, download: "" }, `Download ${title}`);
  return create(
    "li", { className: "card" },
    create("p", {}, create("strong", {}, title), ` · ${use} · ${megabytes(size)}`),
    create("p", { className: "small muted" }, `Checked: ${checked}.`),
    link,
  );
}

function megabytes(size) {
  return size < 1e6 ? `${Math.ceil(size / 1000)} KB` : `${(size / 1e6).toFixed(1)} MB`;
}
