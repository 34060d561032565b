/** Runs the model in a thread of its own, so that the page stays responsive. */
import { load as loadEngine } from "./engine/run.js";
import { planes, prepare } from "./prepare.js";

let run = null;
let input = null;
let last = Promise.resolve();

/** One request after the other: an engine may answer later. */
addEventListener("message", ({ data }) => (last = last.then(() => answer(data))));

async function answer({ id, ...request }) {
  try {
    const found = await (request.files ? load(request) : classify(request.image));
    postMessage({ id, ...found });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
}

async function load({ files, input: given }) {
  input = given;
  run = await loadEngine(files);
  // The browser compiles on the first run, which the first image should not wait for.
  await run(new Float32Array(input.width * input.height * (input.color === "gray" ? 1 : 3)));
  return {};
}

async function classify(image) {
  const pixels = prepare(image, input);
  const start = performance.now();
  const probabilities = await run(planes(pixels, input));
  const milliseconds = performance.now() - start;
  if (!probabilities.every(Number.isFinite)) {
    throw new Error("The probabilities are not finite; convert the model with --precision float32.");
  }
  return { pixels, probabilities, milliseconds };
}
