/**
 * Crops and resizes images as `pocketlens.image.prepare` does: Pillow's bilinear filter with 8 bits
 * per channel, `ImageOps.fit` and `ImageOps.pad`. Which direction Pillow filters first depends on
 * its version and the sizes; where it is the other one, some pixels differ by 1 of 255.
 */

/** Of the weights of the filter, as in Pillow's `Resample.c`. */
const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);

/** Of red, green and blue in gray, as in Pillow's conversion to `L`. */
const [RED, GREEN, BLUE, ROUND] = [19595, 38470, 7471, 0x8000];

/**
 * @param {{width: number, height: number, data: Uint8ClampedArray}} image RGBA; transparent parts
 *     are shown on white.
 * @param {import("./api.js").Input} input The model's input.
 * @returns {Uint8Array} gray or RGB, row by row: `height × width × channels`.
 */
export function prepare(image, input) {
  const channels = input.color === "gray" ? 1 : 3;
  const source = { ...opaque(image, channels), channels };
  const { width, height } = input;
  if (source.width === width && source.height === height) return source.data;
  if (input.crop === "fill") return resize(source, width, height).data;
  if (input.crop === "fit") return fit(source, width, height);
  return resize(source, width, height, middle(source, width / height)).data;
}

/**
 * The pixels as the network's input: `channels × height × width`, in the model's color order.
 * @param {Uint8Array} pixels from `prepare`.
 * @param {import("./api.js").Input} input
 */
export function planes(pixels, { width, height, color }) {
  const channels = color === "gray" ? 1 : 3;
  const result = new Float32Array(pixels.length);
  for (let channel = 0; channel < channels; channel++) {
    const start = (color === "bgr" ? channels - 1 - channel : channel) * width * height;
    for (let i = 0; i < width * height; i++) result[start + i] = pixels[i * channels + channel];
  }
  return result;
}

function opaque({ width, height, data: rgba }, channels) {
  const count = width * height;
  const data = new Uint8Array(count * channels);
  for (let i = 0, at = 0; i < count; i++, at += 4) {
    let red = rgba[at];
    let green = rgba[at + 1];
    let blue = rgba[at + 2];
    const alpha = rgba[at + 3];
    if (alpha !== 255) [red, green, blue] = [red, green, blue].map((value) => onWhite(value, alpha));
    if (channels === 1) {
      data[i] = (red * RED + green * GREEN + blue * BLUE + ROUND) >> 16;
    } else {
      data[3 * i] = red;
      data[3 * i + 1] = green;
      data[3 * i + 2] = blue;
    }
  }
  return { width, height, data };
}

function onWhite(value, alpha) {
  return Math.round((value * alpha) / 255 + 255 - alpha);
}

/** The largest part in the middle with this ratio: left, top, right, bottom. */
function middle({ width, height }, ratio) {
  let [w, h] = [width, height];
  if (width / height > ratio) w = ratio * height;
  else if (width / height < ratio) h = width / ratio;
  const left = (width - w) * 0.5;
  const top = (height - h) * 0.5;
  return [left, top, left + w, top + h];
}

/** The whole image, black where it does not fill the input. */
function fit(source, width, height) {
  const { channels } = source;
  const ratio = source.width / source.height;
  let [w, h] = [width, height];
  if (ratio > width / height) h = round((source.height / source.width) * width);
  else if (ratio < width / height) w = round(ratio * height);
  const result = new Uint8Array(width * height * channels);
  if (!w || !h) return result;
  const { data } = resize(source, w, h);
  // As in Pillow, the image is moved along one axis only.
  const left = w !== width ? round((width - w) * 0.5) : 0;
  const top = w !== width ? 0 : round((height - h) * 0.5);
  for (let y = 0; y < h; y++) {
    const row = data.subarray(y * w * channels, (y + 1) * w * channels);
    result.set(row, ((top + y) * width + left) * channels);
  }
  return result;
}

/** To the nearest integer, halves to the even one, as in Python. */
function round(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

function resize(source, width, height, box = [0, 0, source.width, source.height]) {
  if (source.width === width && source.height === height && isWhole(source, box)) return source;
  const [left, top, right, bottom] = box;
  const across = weights(source.width, left, right, width);
  const down = weights(source.height, top, bottom, height);
  const isWide = width !== source.width || left || right !== width;
  const isHigh = height !== source.height || top || bottom !== height;
  const rows = (image) => (isWide ? horizontal(image, width, across) : image);
  const columns = (image) => (isHigh ? vertical(image, height, down) : image);
  const downFirst = height < source.height && width > source.width;
  return downFirst ? rows(columns(source)) : columns(rows(source));
}

function isWhole({ width, height }, [left, top, right, bottom]) {
  return left === 0 && top === 0 && right === width && bottom === height;
}

/**
 * For each output pixel: the first input pixel, how many it takes, and their weights, as integers. A
 * sum of weighted pixels fits in 32 bits.
 */
function weights(size, start, end, count) {
  const scale = (end - start) / count;
  const wide = Math.max(scale, 1);
  const most = 2 * Math.ceil(wide) + 1;
  const firsts = new Int32Array(count);
  const counts = new Int32Array(count);
  const values = new Int32Array(count * most);
  for (let index = 0; index < count; index++) {
    const center = start + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - wide + 0.5));
    const last = Math.min(size, Math.trunc(center + wide + 0.5));
    const shares = [];
    for (let i = first; i < last; i++) {
      shares.push(Math.max(0, 1 - Math.abs((i - center + 0.5) * (1 / wide))));
    }
    const sum = shares.reduce((total, value) => total + value, 0);
    firsts[index] = first;
    counts[index] = shares.length;
    values.set(shares.map((value) => Math.trunc(0.5 + (value / sum) * 2 ** PRECISION)), index * most);
  }
  return { firsts, counts, values, most };
}

function horizontal({ data, width, height, channels }, count, { firsts, counts, values, most }) {
  const result = new Uint8Array(count * height * channels);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < count; x++) {
      const start = (y * width + firsts[x]) * channels;
      const end = x * most + counts[x];
      for (let channel = 0; channel < channels; channel++) {
        let sum = HALF;
        let from = start + channel;
        for (let i = x * most; i < end; i++, from += channels) sum += data[from] * values[i];
        result[to++] = clip(sum);
      }
    }
  }
  return { data: result, width: count, height, channels };
}

function vertical({ data, width, channels }, count, { firsts, counts, values, most }) {
  const row = width * channels;
  const result = new Uint8Array(count * row);
  const sums = new Int32Array(row);
  for (let y = 0; y < count; y++) {
    sums.fill(HALF);
    for (let i = 0; i < counts[y]; i++) {
      const from = (firsts[y] + i) * row;
      const weight = values[y * most + i];
      for (let x = 0; x < row; x++) sums[x] += data[from + x] * weight;
    }
    for (let x = 0; x < row; x++) result[y * row + x] = clip(sums[x]);
  }
  return { data: result, width, height: count, channels };
}

function clip(sum) {
  return Math.min(255, Math.max(0, sum >> PRECISION));
}
