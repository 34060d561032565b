/** Flags of a frame: a still image; send the model's input pixels. */
export const STILL = 1;
export const SEEN = 2;
/** A drawing in dark or light lines: each model gets it in its own ink. */
export const DRAWN = { dark: 4, light: 8 };

/**
 * @typedef {object} Frame An image for the models. Who answers takes the file or the canvas.
 * @property {() => Promise<Blob|null>} getImage Called when the frame is sent; null to skip it.
 * @property {() => HTMLCanvasElement|null} getCanvas The same as pixels.
 * @property {number} flags
 * @property {(answer: any, image: Blob|null) => void} onAnswer
 */
