/**
 * @typedef {object} Input How the model is given a picture.
 * @property {number} width
 * @property {number} height
 * @property {"center-crop"|"fit"|"fill"} crop
 * @property {"dark"|"light"} ink
 *
 * @typedef {object} Answer What one model says of a picture.
 * @property {string} name of the model.
 * @property {string|null} shown The label, when it is sure and steady.
 * @property {number|null} confidence
 * @property {[string, number][]} top Classes and probabilities, most probable first.
 * @property {number} milliseconds
 * @property {{width: number, height: number, channels: number, data: string}|null} seen
 */

/** What is shown: `{models: [{name, classes, input, thresholds}], corrections}`. */
export const model = () => ask("/api/model");

/**
 * Ask about a picture file; its bytes are sent as they are.
 * @param {Blob} picture
 * @returns {Promise<{models: Answer[]}>}
 */
export const predict = (picture) => ask("/api/predict?seen=1", { method: "POST", body: picture });

/** Open a duel: `{code}`. */
export const openDuel = () => ask("/api/duels", { method: "POST" });

/** All corrections: `[{label, name}]`. */
export const corrections = () => ask("/api/corrections");

/** Keep a picture as one of `label`. */
export const keep = (picture, label) =>
  ask(`/api/corrections?label=${encodeURIComponent(label)}`, { method: "POST", body: picture });

/** Where a correction's picture is. */
export const correctionUrl = ({ label, name }) =>
  `/api/corrections/${encodeURIComponent(label)}/${encodeURIComponent(name)}`;

/** Delete a correction. */
export const forget = (correction) => ask(correctionUrl(correction), { method: "DELETE" });

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw new Error("The server does not answer. Is the preview still running?", { cause: error });
  }
  if (response.status === 204) return null;
  const body = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  const answer = isJson ? JSON.parse(body) : { error: body || `status ${response.status}` };
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
