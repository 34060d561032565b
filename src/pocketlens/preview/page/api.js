/**
 * @typedef {object} Input The model's input.
 * @property {number} width
 * @property {number} height
 * @property {"center-crop"|"fit"|"fill"} crop
 * @property {"dark"|"light"} ink
 *
 * @typedef {object} Result The output of one model for an image.
 * @property {string} name of the model.
 * @property {string|null} shown The label to show; null for none.
 * @property {number|null} confidence
 * @property {string} verdict The label to show, `nothing` or `not sure`.
 * @property {[string, number][]} top Classes and probabilities, most probable first.
 * @property {number} milliseconds
 * @property {{width: number, height: number, channels: number, data: string|Uint8Array}|null} seen
 */

/** The models: `{models: [{name, classes, input, thresholds}], corrections}`. */
export const model = () => request("/api/model");

/**
 * Classify an image file; it is sent unchanged.
 * @param {Blob} image
 * @returns {Promise<{models: Result[]}>}
 */
export const predict = (image) => request("/api/predict?seen=1", { method: "POST", body: image });

/**
 * Ask which parts of an image speak for a label.
 * @param {Blob} image
 * @param {{model: string, label: string, ink?: string}} query
 * @returns {Promise<{label: string, confidence: number, method: string, picture: string}>}
 */
export const explain = (image, query) =>
  request(`/api/explain?${new URLSearchParams(query)}`, { method: "POST", body: image });

/**
 * Find and read the digits of whole numbers; boxes are in pixels of `width` and `height`.
 * @param {Blob} image
 * @returns {Promise<{width: number, height: number, models: {name: string, number: string,
 *   sure: boolean, digits: Digit[]}[]}>}
 *
 * @typedef {{label: string, confidence: number, sure: boolean, line: number, box: number[]}} Digit
 */
export const readNumber = (image) => request("/api/number", { method: "POST", body: image });

/** Create a duel: `{code}`. */
export const createDuel = () => request("/api/duels", { method: "POST" });

/** All corrections: `[{label, name}]`. */
export const corrections = () => request("/api/corrections");

/** Save an image with its correct label. */
export const addCorrection = (image, label) =>
  request(`/api/corrections?label=${encodeURIComponent(label)}`, { method: "POST", body: image });

/** The address of a correction's image. */
export const correctionUrl = ({ label, name }) =>
  `/api/corrections/${encodeURIComponent(label)}/${encodeURIComponent(name)}`;

/** Delete a correction. */
export const deleteCorrection = (correction) =>
  request(correctionUrl(correction), { method: "DELETE" });

/**
 * Ask the server; the answer's JSON, or null if it has none.
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw new Error("The server does not answer. Is the preview still running?", { cause: error });
  }
  if (response.status === 204) return null;
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  const body = isJson ? JSON.parse(text) : { error: text || `status ${response.status}` };
  if (!response.ok) throw new Error(body.error);
  return body;
}
