/** Convolutions and matrix products. A step first plans its memory, then returns its function. */

/** The part of a product that the kernel computes at once, see `kernels.py`. */
const ROWS = 4;
const COLUMNS = 8;

/**
 * A convolution of one image, `(C, H, W)`. Weights are `(M, C / groups, height, width)`.
 * @param {object} step `x`, `weights`, `bias`, `out`; `channels` (of all groups), `outputs`,
 *     `groups`; `size`, `kernel`, `strides`, `dilations`, `pads` (top, left, bottom, right),
 *     `out_size`.
 */
export function convolution(step, context) {
  const { tensors, places } = context;
  const { channels, outputs, groups, size, kernel, strides, dilations, pads } = step;
  const padded = [size[0] + pads[0] + pads[2], size[1] + pads[1] + pads[3]];
  const isPadded = pads.some(Boolean);
  const plane = padded[0] * padded[1];
  const taps = [];
  for (let y = 0; y < kernel[0]; y++) {
    for (let x = 0; x < kernel[1]; x++) {
      taps.push(4 * (y * dilations[0] * padded[1] + x * dilations[1]));
    }
  }
  const weights = tensors[step.weights].content;
  const bias = step.bias === undefined ? new Float32Array(outputs) : tensors[step.bias].content;
  const scratch = isPadded ? places.scratchFor("padded", 4 * channels * plane) : null;
  const input = tensors[step.x];
  const isDepthwise = groups === channels && groups > 1;
  const part = isDepthwise
    ? depthwise(step, context, { padded, plane, taps, weights, bias })
    : grouped(step, context, { padded, plane, taps, weights, bias });
  return () => {
    const copy = isPadded ? padding(context, step, padded, input, scratch) : () => {};
    const run = part(() => (isPadded ? scratch.at : input.at));
    return () => {
      copy();
      run();
    };
  };
}

/** Copies the image into the middle of zeros. */
function padding({ values }, { channels, size, pads }, padded, input, scratch) {
  const [height, width] = size;
  const plane = padded[0] * padded[1];
  return () => {
    const start = scratch.at / 4;
    values.fill(0, start, start + channels * plane);
    let from = input.at / 4;
    for (let channel = 0; channel < channels; channel++) {
      let to = start + channel * plane + pads[0] * padded[1] + pads[1];
      for (let y = 0; y < height; y++) {
        values.copyWithin(to, from, from + width);
        from += width;
        to += padded[1];
      }
    }
  };
}

function depthwise(step, context, { padded, plane, taps, weights, bias }) {
  const { outputs, channels, strides, out_size: [rows, columns], groups } = step;
  const tapsAt = upload(context, new Int32Array(taps));
  const weightsAt = upload(context, weights);
  const { kernels, tensors } = context;
  const each = outputs / groups;
  return (address) => () => {
    const x = address();
    const out = tensors[step.out].at;
    for (let m = 0; m < outputs; m++) {
      kernels.depthwise(
        x + 4 * plane * Math.floor(m / each), tapsAt, taps.length, weightsAt + 4 * taps.length * m,
        rows, columns, 4 * strides[0] * padded[1], 4 * strides[1], out + 4 * rows * columns * m,
        bias[m],
      );
    }
  };
}

function grouped(step, context, { padded, plane, taps, weights, bias }) {
  const { outputs, groups, strides, out_size: [height, width] } = step;
  const channels = step.channels / groups;
  const rows = outputs / groups;
  const places = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      places.push(4 * (y * strides[0] * padded[1] + x * strides[1]));
    }
  }
  const { panels, placesAt } = positions(context, places);
  const tapsAt = upload(context, new Int32Array(taps));
  const count = taps.length;
  const depth = channels * count;
  const parts = Array.from({ length: groups }, (_, group) => {
    const first = group * rows;
    return {
      weights: upload(context, packed(weights, first, rows, channels, count)),
      bias: upload(context, filled(bias.subarray(first, first + rows))),
      x: 4 * plane * channels * group,
      out: 4 * height * width * first,
    };
  });
  const { kernels, places: shared, tensors } = context;
  const panel = shared.scratchFor("panel", 4 * COLUMNS * depth);
  return (address) => () => {
    const x = address();
    const out = tensors[step.out].at;
    for (const part of parts) {
      kernels.convolve(
        x + part.x, 4 * plane, channels, tapsAt, count, placesAt, panels, part.weights, depth,
        part.bias, Math.ceil(rows / ROWS), out + part.out, 4 * height * width, panel.at,
      );
    }
  };
}

/**
 * `x (inner)` times constant `weights (outputs, inner)`: a convolution of one pixel.
 * @param {object} step `x`, `weights`, `bias`, `out`; `inner`, `outputs`.
 */
export function linear(step, context) {
  const { inner, outputs } = step;
  const one = [1, 1];
  const image = { size: one, kernel: one, strides: one, dilations: one, out_size: one };
  const wide = { ...step, ...image, pads: [0, 0, 0, 0], channels: inner, outputs, groups: 1 };
  return convolution(wide, context);
}

/**
 * `a (rows, inner)` times `b (inner, columns)`, for each matrix of a batch.
 * @param {object} step `a`, `b`, `out`; `rows`, `inner`, `columns`; `batch`: the first elements of
 *     each `a`, `b` and `out`.
 */
export function matmul(step, context) {
  const { rows, inner, columns, batch } = step;
  const { kernels, places: shared, tensors } = context;
  const places = Array.from({ length: columns }, (_, column) => 4 * column);
  const { panels, placesAt } = positions(context, places);
  const tapsAt = upload(context, new Int32Array(1));
  const groups = Math.ceil(rows / ROWS);
  const panel = shared.scratchFor("panel", 4 * COLUMNS * inner);
  const left = shared.scratchFor("left", 4 * ROWS * groups * inner);
  const biasAt = upload(context, new Float32Array(ROWS * groups));
  return () => {
    const { values } = context;
    const [a, b, out] = ["a", "b", "out"].map((name) => tensors[step[name]].at);
    return () => {
      for (const [fromA, fromB, to] of batch) {
        const [from, at] = [a / 4 + fromA, left.at / 4];
        if (rows % ROWS) values.fill(0, at, at + ROWS * groups * inner);
        for (let row = 0; row < rows; row++) {
          let to = at + (row - (row % ROWS)) * inner + (row % ROWS);
          for (let i = from + row * inner; i < from + (row + 1) * inner; i++, to += ROWS) {
            values[to] = values[i];
          }
        }
        kernels.convolve(
          b + 4 * fromB, 4 * columns, inner, tapsAt, 1, placesAt, panels, left.at, inner, biasAt,
          groups, out + 4 * to, 4 * columns, panel.at,
        );
      }
    };
  };
}

/** The places of all columns, the last one repeated to whole panels. */
function positions(context, places) {
  const panels = Math.ceil(places.length / COLUMNS);
  const all = new Int32Array(panels * COLUMNS).fill(places.at(-1));
  all.set(places);
  return { panels, placesAt: upload(context, all) };
}

/**
 * Rows of weights `(M, channels, taps)` in the order of the kernel: 4 rows side by side (zeros for
 * rows that are missing), all channels of the first tap, then of the second, ...
 */
function packed(weights, first, rows, channels, taps) {
  const depth = channels * taps;
  const result = new Float32Array(ROWS * Math.ceil(rows / ROWS) * depth);
  for (let row = 0; row < rows; row++) {
    let to = (row - (row % ROWS)) * depth + (row % ROWS);
    for (let tap = 0; tap < taps; tap++) {
      let from = (first + row) * depth + tap;
      for (let channel = 0; channel < channels; channel++, from += taps, to += ROWS) {
        result[to] = weights[from];
      }
    }
  }
  return result;
}

function filled(values) {
  const result = new Float32Array(ROWS * Math.ceil(values.length / ROWS));
  result.set(values);
  return result;
}

function upload({ places, uploads }, content) {
  const at = places.add(content.byteLength);
  uploads.push({ at, content });
  return at;
}
