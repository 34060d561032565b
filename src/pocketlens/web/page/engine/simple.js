/** Steps that are plain loops. Like the others, each first plans and then returns its function. */

/** Truth values are 1 and 0. */
const UNARY = {
  abs: Math.abs,
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atanh: Math.atanh,
  ceil: Math.ceil,
  cos: Math.cos,
  cosh: Math.cosh,
  erf,
  exp: Math.exp,
  floor: Math.floor,
  log: Math.log,
  mish: (x) => x * Math.tanh(softplus(x)),
  neg: (x) => -x,
  not: (x) => (x ? 0 : 1),
  reciprocal: (x) => 1 / x,
  round: halfToEven,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  sign: Math.sign,
  sin: Math.sin,
  sinh: Math.sinh,
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  sqrt: Math.sqrt,
  square: (x) => x * x,
  tan: Math.tan,
  tanh: Math.tanh,
  truth: (x) => (x ? 1 : 0),
};

/** With one or two numbers, `alpha` and `beta`. */
const UNARY_WITH = {
  celu: (x, alpha) => (x < 0 ? alpha * Math.expm1(x / alpha) : x),
  elu: (x, alpha) => (x < 0 ? alpha * Math.expm1(x) : x),
  hardsigmoid: (x, alpha, beta) => Math.min(1, Math.max(0, alpha * x + beta)),
  hardswish: (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5)),
  leaky: (x, alpha) => (x < 0 ? alpha * x : x),
  selu: (x, alpha, beta) => beta * (x < 0 ? alpha * Math.expm1(x) : x),
  thresholded: (x, alpha) => (x > alpha ? x : 0),
};

const BINARY = {
  add: (a, b) => a + b,
  and: (a, b) => (a && b ? 1 : 0),
  div: (a, b) => a / b,
  equal: (a, b) => (a === b ? 1 : 0),
  greater: (a, b) => (a > b ? 1 : 0),
  greater_equal: (a, b) => (a >= b ? 1 : 0),
  if: (condition, b) => (condition ? b : 0),
  less: (a, b) => (a < b ? 1 : 0),
  less_equal: (a, b) => (a <= b ? 1 : 0),
  max: Math.max,
  min: Math.min,
  mul: (a, b) => a * b,
  or: (a, b) => (a || b ? 1 : 0),
  pow: Math.pow,
  prelu: (a, b) => (a < 0 ? a * b : a),
  sub: (a, b) => a - b,
  unless: (condition, b) => (condition ? 0 : b),
  xor: (a, b) => (Boolean(a) === Boolean(b) ? 0 : 1),
};

/** The most frequent ones as loops of their own, which browsers compile without calls. */
const BINARY_ROWS = {
  add(values, to, i, j, n, di, dj) {
    for (; n > 0; n--, i += di, j += dj) values[to++] = values[i] + values[j];
  },
  div(values, to, i, j, n, di, dj) {
    for (; n > 0; n--, i += di, j += dj) values[to++] = values[i] / values[j];
  },
  mul(values, to, i, j, n, di, dj) {
    for (; n > 0; n--, i += di, j += dj) values[to++] = values[i] * values[j];
  },
  sub(values, to, i, j, n, di, dj) {
    for (; n > 0; n--, i += di, j += dj) values[to++] = values[i] - values[j];
  },
};

const UNARY_ROWS = {
  abs(values, x, out, count) {
    for (let i = 0; i < count; i++) values[out + i] = Math.abs(values[x + i]);
  },
  erf(values, x, out, count) {
    for (let i = 0; i < count; i++) values[out + i] = erf(values[x + i]);
  },
  sigmoid(values, x, out, count) {
    for (let i = 0; i < count; i++) values[out + i] = 1 / (1 + Math.exp(-values[x + i]));
  },
  square(values, x, out, count) {
    for (let i = 0; i < count; i++) values[out + i] = values[x + i] * values[x + i];
  },
};

const REDUCE_ROWS = {
  max(values, result, i, n, di) {
    for (; n > 0; n--, i += di) result = Math.max(result, values[i]);
    return result;
  },
  mean(values, result, i, n, di) {
    for (; n > 0; n--, i += di) result += values[i];
    return result;
  },
};

/** @param {object} step `kind`, `x`, `out`; `alpha`, `beta`. */
export function unary(step, context) {
  const { kind, alpha = 0, beta = 0 } = step;
  const [plain, given] = [UNARY[kind], UNARY_WITH[kind]];
  if (!plain && !given) throw new Error(`The model file has the unknown function ${kind}.`);
  const { count } = context.tensors[step.out];
  return () => {
    const [x, out] = addresses(step, context, ["x", "out"]);
    const { values } = context;
    const row = UNARY_ROWS[kind];
    if (row) return () => row(values, x, out, count);
    if (plain) {
      return () => {
        for (let i = 0; i < count; i++) values[out + i] = plain(values[x + i]);
      };
    }
    return () => {
      for (let i = 0; i < count; i++) values[out + i] = given(values[x + i], alpha, beta);
    };
  };
}

/** @param {object} step `kind`, `a`, `b`, `out`; `shape`, `strides` of `a` and of `b`. */
export function binary(step, context) {
  const apply = BINARY[step.kind];
  if (!apply) throw new Error(`The model file has the unknown function ${step.kind}.`);
  const { shape, strides: [left, right] } = step;
  return () => {
    const [a, b, out] = addresses(step, context, ["a", "b", "out"]);
    const { values } = context;
    let to = 0;
    const fast = BINARY_ROWS[step.kind];
    const row = (i, j, n, di, dj) => {
      if (fast) {
        fast(values, to, i, j, n, di, dj);
        to += n;
      } else {
        for (; n > 0; n--, i += di, j += dj) values[to++] = apply(values[i], values[j]);
      }
    };
    return () => {
      to = out;
      walk(shape, left, right, a, b, row);
    };
  };
}

/**
 * Copies elements, in any order: what transposes, slices, joins, pads and repeats.
 * @param {object} step `x`, `out`; `shape`, `from` and `to` (the first elements), `from_strides`,
 *     `to_strides`; `fill`, a number that all of `out` has first.
 */
export function move(step, context) {
  const { shape, fill } = step;
  const { count } = context.tensors[step.out];
  return () => {
    const [x, out] = addresses(step, context, ["x", "out"]);
    const { values } = context;
    const row = (i, j, n, di, dj) => {
      if (di === 1 && dj === 1) values.copyWithin(j, i, i + n);
      else for (; n > 0; n--, i += di, j += dj) values[j] = values[i];
    };
    return () => {
      if (fill !== undefined) values.fill(fill, out, out + count);
      walk(shape, step.from_strides, step.to_strides, x + step.from, out + step.to, row);
    };
  };
}

/**
 * Slices of some indices along an axis.
 * @param {object} step `x`, `out`; `outer`, `size` (of the axis), `inner`, `indices`.
 */
export function pick({ outer, size, inner, indices, ...step }, context) {
  return () => {
    const [x, out] = addresses(step, context, ["x", "out"]);
    const { values } = context;
    return () => {
      let to = out;
      for (let i = 0; i < outer; i++) {
        for (const index of indices) {
          const from = x + (i * size + index) * inner;
          if (inner === 1) values[to] = values[from];
          else values.copyWithin(to, from, from + inner);
          to += inner;
        }
      }
    };
  };
}

/**
 * @param {object} step `kind` (`max`, `average`), `x`, `out`; `channels`, `size`, `kernel`,
 *     `strides`, `dilations`, `pads` (top, left), `out_size`; `divisors`: for `average`, by how
 *     much the sum of each position is divided, or null for the number of pixels inside the image.
 */
export function pool(step, context) {
  const { channels, size: [height, width], kernel, strides, dilations, pads } = step;
  const [rows, columns] = step.out_size;
  const isMax = step.kind === "max";
  return () => {
    const [x, out] = addresses(step, context, ["x", "out"]);
    const { values } = context;
    return () => {
      let to = out;
      for (let channel = 0; channel < channels; channel++) {
        const plane = x + channel * height * width;
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            let result = isMax ? -Infinity : 0;
            let count = 0;
            for (let i = 0; i < kernel[0]; i++) {
              const y = row * strides[0] - pads[0] + i * dilations[0];
              if (y < 0 || y >= height) continue;
              for (let j = 0; j < kernel[1]; j++) {
                const at = column * strides[1] - pads[1] + j * dilations[1];
                if (at < 0 || at >= width) continue;
                const value = values[plane + y * width + at];
                result = isMax ? Math.max(result, value) : result + value;
                count++;
              }
            }
            const divisor = step.divisors ? step.divisors[row * columns + column] : count;
            values[to++] = isMax ? result : result / divisor;
          }
        }
      }
    };
  };
}

const REDUCE = {
  l1: [0, (sum, x) => sum + Math.abs(x)],
  l2: [0, (sum, x) => sum + x * x, Math.sqrt],
  max: [-Infinity, Math.max],
  mean: [0, (sum, x) => sum + x, (sum, count) => sum / count],
  min: [Infinity, Math.min],
  prod: [1, (product, x) => product * x],
  sum: [0, (sum, x) => sum + x],
  sum_square: [0, (sum, x) => sum + x * x],
};

/**
 * @param {object} step `kind`, `x`, `out`; `outer`, `outer_strides`: the result's shape;
 *     `inner`, `inner_strides`: what becomes one number.
 */
export function reduce(step, context) {
  const found = REDUCE[step.kind];
  if (!found) throw new Error(`The model file has the unknown function ${step.kind}.`);
  const [start, add, finish = (sum) => sum] = found;
  const { outer, outer_strides: strides, inner, inner_strides: steps } = step;
  const count = inner.reduce((product, size) => product * size, 1);
  return () => {
    const [x, out] = addresses(step, context, ["x", "out"]);
    const { values } = context;
    let [to, result] = [0, 0];
    const fast = REDUCE_ROWS[step.kind];
    const one = (i, _, n, di) => {
      if (fast) result = fast(values, result, i, n, di);
      else for (; n > 0; n--, i += di) result = add(result, values[i]);
    };
    const row = (i, _, n, di) => {
      for (; n > 0; n--, i += di) {
        result = start;
        walk(inner, steps, steps, i, i, one);
        values[to++] = finish(result, count);
      }
    };
    return () => {
      to = out;
      walk(outer, strides, strides, x, x, row);
    };
  };
}

/** @param {object} step `x`, `out`; `outer`, `count`, `inner`; `log`. */
export function softmax(step, context) {
  const { outer, count, inner, log } = step;
  return () => {
    const [x, out] = addresses(step, context, ["x", "out"]);
    const { values } = context;
    return () => {
      for (let i = 0; i < outer; i++) {
        for (let j = 0; j < inner; j++) {
          const start = i * count * inner + j;
          let largest = -Infinity;
          for (let k = 0; k < count; k++) {
            largest = Math.max(largest, values[x + start + k * inner]);
          }
          let sum = 0;
          for (let k = 0; k < count; k++) sum += Math.exp(values[x + start + k * inner] - largest);
          for (let k = 0; k < count; k++) {
            const value = values[x + start + k * inner] - largest;
            values[out + start + k * inner] = log ? value - Math.log(sum) : Math.exp(value) / sum;
          }
        }
      }
    };
  };
}

/** Where tensors start, as indices of float32 values. */
function addresses(step, { tensors }, names) {
  return names.map((name) => tensors[step[name]].at / 4);
}

/** Call `row(i, j, n, di, dj)` for all rows of the last dimension of two strided arrays. */
function walk(shape, left, right, i, j, row) {
  const last = shape.length - 1;
  if (last < 0) {
    row(i, j, 1, 0, 0);
    return;
  }
  const n = shape[last];
  if (last === 0) {
    row(i, j, n, left[0], right[0]);
    return;
  }
  const index = new Array(last).fill(0);
  for (;;) {
    row(i, j, n, left[last], right[last]);
    let axis = last - 1;
    while (axis >= 0) {
      i += left[axis];
      j += right[axis];
      if (++index[axis] < shape[axis]) break;
      i -= left[axis] * shape[axis];
      j -= right[axis] * shape[axis];
      index[axis--] = 0;
    }
    if (axis < 0) return;
  }
}

function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function halfToEven(x) {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 ? low + 1 : low;
}

/** Abramowitz and Stegun 7.1.26: the error is below 1.5e-7. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const polynomial =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x));
}
