import { loadNetwork } from "./network.js";

/** What the engine needs of the site. */
export const FILES = ["model.bin", "kernels.wasm"];

/**
 * @param {ArrayBuffer[]} files
 * @returns {Promise<(values: Float32Array) => Float32Array>} computes the probabilities.
 */
export const load = ([model, kernels]) => loadNetwork(model, kernels);
