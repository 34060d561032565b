import { t } from "./text.js";

/** As in `pocketlens.decoding`: a small file can have an image that needs all of the memory. */
const MAX_PIXELS = 100_000_000;

/**
 * Load an image without decoding its pixels.
 * @param {string} address
 * @returns {Promise<HTMLImageElement>}
 * @throws {Error} The browser cannot read it, or it has too many pixels.
 */
export async function loadImage(address) {
  const image = new Image();
  const isLoaded = await new Promise((resolve) => {
    image.addEventListener("load", () => resolve(true));
    image.addEventListener("error", () => resolve(false));
    image.src = address;
  });
  if (!isLoaded) throw new Error(t`The browser cannot read this image.`);
  const { naturalWidth: width, naturalHeight: height } = image;
  if (width * height > MAX_PIXELS) throw new Error(t`This image is too large: ${width} × ${height} pixels.`);
  return image;
}
