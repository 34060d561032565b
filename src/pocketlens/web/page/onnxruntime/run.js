/** What the engine needs of the site. */
export const FILES = ["model.onnx", "engine/ort.wasm"];

/**
 * @param {ArrayBuffer[]} files
 * @returns {Promise<(values: Float32Array) => Promise<Float32Array>>} computes the probabilities.
 */
export async function load([model, wasm]) {
  const { env, InferenceSession, Tensor } = await import("./ort.js");
  // One thread, in this worker: several need headers that plain web servers do not send.
  Object.assign(env.wasm, { numThreads: 1, proxy: false, wasmBinary: wasm });
  const options = {
    executionProviders: ["wasm"],
    // It would turn float weights between dequantize and quantize into int8.
    extra: { session: { disable_quant_qdq: "1" } },
  };
  const content = new Uint8Array(model);
  let session;
  try {
    session = await InferenceSession.create(content, options);
  } catch {
    // Some of its rewriting passes break valid graphs. If the graph is to blame, this fails, too.
    session = await InferenceSession.create(content, { ...options, graphOptimizationLevel: "disabled" });
  }
  const [{ name, shape }] = session.inputMetadata;
  return async (values) => {
    const results = await session.run({ [name]: new Tensor("float32", values, shape) });
    return results[session.outputNames[0]].data;
  };
}
