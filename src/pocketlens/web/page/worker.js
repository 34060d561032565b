/** Runs the model in a thread of its own, so that the page stays responsive. */
import { loadNetwork } from "./engine/network.js";
import { planes, prepare } from "./prepare.js";

let run = null;
let input = null;

addEventListener("message", async ({ data: { id, ...request } }) => {
  try {
    const answer = request.network ? await load(request) : classify(request.image);
    postMessage({ id, ...answer });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});

async function load(request) {
  input = request.input;
  run = await loadNetwork(request.network, request.kernels);
  // The browser compiles on the first run, which the first image should not wait for.
  run(new Float32Array(input.width * input.height * (input.color === "gray" ? 1 : 3)));
  return {};
}

function classify(image) {
  const pixels = prepare(image, input);
  const start = performance.now();
  const probabilities = run(planes(pixels, input));
  const milliseconds = performance.now() - start;
  if (!probabilities.every(Number.isFinite)) {
    throw new Error("The probabilities are not finite; convert the model with --precision float32.");
  }
  return { pixels, probabilities, milliseconds };
}
