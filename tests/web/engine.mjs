// Runs the page's own modules in Node: engine.mjs PAGE CASES. One JSON line of answers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [page, cases] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(join(page, name)));
const { loadNetwork } = await module("engine/network.js");
const { prepare, planes } = await module("prepare.js");
const { Decision } = await module("decision.js");

const bytes = (name) => {
  const { buffer, byteOffset, byteLength } = readFileSync(join(cases, name));
  return buffer.slice(byteOffset, byteOffset + byteLength);
};
const floats = (array) => Array.from(array, (value) => (Number.isFinite(value) ? value : `${value}`));

const KINDS = {
  async network({ file, inputs }) {
    const run = await loadNetwork(bytes(file), bytes("kernels.wasm"));
    return inputs.map((values) => floats(run(Float32Array.from(values))));
  },
  prepare({ width, height, data, input }) {
    const image = { width, height, data: Uint8ClampedArray.from(data) };
    const pixels = prepare(image, input);
    return { pixels: Array.from(pixels), planes: Array.from(planes(pixels, input)) };
  },
  async languages() {
    return (await module("languages.js")).LANGUAGES;
  },
  decision({ classes, background, thresholds, frames, still }) {
    const decision = new Decision(classes, background, thresholds, { still });
    return frames.map((frame) => decision.add(frame));
  },
};

const answers = [];
for (const { kind, ...given } of JSON.parse(readFileSync(join(cases, "cases.json"), "utf8"))) {
  try {
    answers.push({ answer: await KINDS[kind](given) });
  } catch (error) {
    answers.push({ error: error.message });
  }
}
console.log(JSON.stringify(answers));
