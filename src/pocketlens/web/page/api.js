/**
 * The model of this page. The preview's module with this name asks a server; here the page itself
 * answers, so there is nothing that explains results, reads whole numbers or stores images.
 *
 * @typedef {object} Input The model's input.
 * @property {number} width
 * @property {number} height
 * @property {"gray"|"rgb"|"bgr"} color
 * @property {"center-crop"|"fit"|"fill"} crop
 * @property {"dark"|"light"} ink
 *
 * @typedef {object} Result The output of the model for an image.
 * @property {string} name of the model.
 * @property {string|null} shown The label to show; null for none.
 * @property {number|null} confidence
 * @property {string} verdict The label to show, `nothing` or `not sure`.
 * @property {[string, number][]} top Classes and probabilities, most probable first.
 * @property {Float32Array} probabilities of all classes.
 * @property {number} milliseconds
 * @property {{width: number, height: number, channels: number, data: Uint8Array}} seen
 */
import { loadImage } from "./images.js";
import { Recognizer } from "./recognizer.js";
import { t } from "./text.js";

/** Larger images are reduced by the browser first: some have no larger canvas. */
const MAX_PIXELS = 16_000_000;

let loading = null;

/** @returns {Promise<Recognizer>} The model, which is loaded once. */
export function recognizer() {
  loading ??= Recognizer.load();
  return loading;
}

/**
 * Classify an image file.
 * @param {Blob} image
 * @returns {Promise<{models: Result[]}>}
 */
export async function predict(image) {
  const pixels = await decoded(image);
  const model = await recognizer();
  return { models: [await model.classify(pixels, { still: true })] };
}

/** The pixels of an image file, upright. */
async function decoded(file) {
  const address = URL.createObjectURL(file);
  try {
    await loadImage(address);
  } finally {
    URL.revokeObjectURL(address);
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch (error) {
    throw new Error(t`The browser cannot read this image.`, { cause: error });
  }
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(bitmap.width * scale));
  canvas.height = Math.max(1, Math.floor(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
