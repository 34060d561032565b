/**
 * Runs a network file, which `network.py` has written: a few kinds of steps over float32 tensors of
 * fixed shapes. Convolutions and matrix products run in WebAssembly, see `kernels.py`.
 */
import { linear, convolution, matmul } from "./products.js";
import { binary, move, pick, pool, reduce, softmax, unary } from "./simple.js";

const MAGIC = "PLNET001";
const HEADER = 12;
const PAGE = 65536;
/** Kernels may read past the end of a tensor by less than this. */
const GUARD = PAGE;
const MAX_BYTES = 2 ** 31;
const LARGEST_HALF = 65504;

const STEPS = { binary, convolution, linear, matmul, move, pick, pool, reduce, softmax, unary };

/**
 * @param {ArrayBuffer} file
 * @param {BufferSource} kernels The WebAssembly module.
 * @returns {Promise<(values: Float32Array) => Float32Array>} computes the probabilities.
 */
export async function loadNetwork(file, kernels) {
  const { header, weights } = read(file);
  const places = new Places(header.arena);
  const tensors = header.tensors.map((each) => tensor(each, weights, places));
  const context = { tensors, places, kernels: {}, values: null, uploads: [] };
  const planned = header.steps.map((step) => plan(step, context));
  places.addScratch();
  const bytes = places.bytes + GUARD;
  if (!(bytes < MAX_BYTES)) throw damaged(`it needs ${bytes} bytes`);
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
  const { instance } = await WebAssembly.instantiate(kernels, { env: { memory } });
  Object.assign(context.kernels, instance.exports);
  context.values = new Float32Array(memory.buffer);
  for (const { at, content } of context.uploads) {
    new content.constructor(memory.buffer, at, content.length).set(content);
  }
  context.uploads = [];
  for (const each of tensors) delete each.content;
  const [input, output] = [tensors[header.input], tensors[header.output]];
  const steps = planned.map((make) => make());
  return (values) => {
    if (values.length !== input.count) throw new Error(`expected ${input.count} values`);
    context.values.set(values, input.at / 4);
    for (const step of steps) step();
    return context.values.slice(output.at / 4, output.at / 4 + output.count);
  };
}

/** Where everything is in the memory: first the tensors that share it, then what stays. */
class Places {
  constructor(bytes) {
    this.bytes = whole(bytes, MAX_BYTES);
    this.arena = this.bytes;
    this.scratch = new Map();
  }

  add(bytes) {
    const at = this.bytes;
    this.bytes += 16 * Math.ceil(bytes / 16);
    return at;
  }

  /** Memory that all steps share, as large as the largest of them needs. */
  scratchFor(name, bytes) {
    const found = this.scratch.get(name) ?? { at: null, bytes: 0 };
    found.bytes = Math.max(found.bytes, bytes);
    this.scratch.set(name, found);
    return found;
  }

  addScratch() {
    for (const each of this.scratch.values()) each.at = this.add(each.bytes);
  }
}

function read(file) {
  const text = new TextDecoder();
  if (file.byteLength < HEADER || text.decode(new Uint8Array(file, 0, 8)) !== MAGIC) {
    throw damaged("it does not start as such a file");
  }
  const size = new DataView(file).getUint32(8, true);
  if (HEADER + size > file.byteLength) throw damaged("it is cut off");
  const header = JSON.parse(text.decode(new Uint8Array(file, HEADER, size)));
  return { header, weights: { file, start: HEADER + size } };
}

function tensor({ count, at, from, type }, { file, start }, { arena }) {
  whole(count, MAX_BYTES);
  if (from === undefined) {
    if (whole(at, arena) + 4 * count > arena) throw damaged("a tensor is outside the memory");
    return { count, at };
  }
  const bytes = count * (type === "float16" ? 2 : 4);
  if (start + whole(from, file.byteLength) + bytes > file.byteLength) throw damaged("it is cut off");
  const data = file.slice(start + from, start + from + bytes);
  const content = type === "float16" ? fromHalf(new Uint16Array(data)) : new Float32Array(data);
  return { count, at: null, content };
}

/** A function that makes the step's function, after the memory is there. */
function plan(step, context) {
  const make = STEPS[step.op];
  if (!make) throw damaged(`the step ${step.op} is unknown`);
  for (const name of ["x", "a", "b", "out"]) {
    const each = context.tensors[step[name]];
    // A constant that a step reads as any other tensor.
    if (each?.content && each.at === null) place(each, context);
  }
  const started = make(step, context);
  const { low = -Infinity, high = Infinity, half } = step;
  if (low === -Infinity && high === Infinity && !half) return started;
  const { at, count } = context.tensors[step.out];
  const isBounded = low >= -LARGEST_HALF && high <= LARGEST_HALF;
  const rounding = half ? (isBounded ? 1 : 2) : 0;
  return () => {
    const run = started();
    const { limit } = context.kernels;
    return () => {
      run();
      limit(at, count, low, high, rounding);
    };
  };
}

function place(tensor, { places, uploads }) {
  tensor.at = places.add(4 * tensor.count);
  uploads.push({ at: tensor.at, content: tensor.content });
}

function whole(value, limit) {
  if (!Number.isInteger(value) || value < 0 || value > limit) throw damaged(`${value} is no size`);
  return value;
}

function damaged(reason) {
  return new Error(`The model file is damaged: ${reason}.`);
}

/** Float16 numbers as float32. */
function fromHalf(halves) {
  table ??= Float32Array.from({ length: 65536 }, (_, half) => halfValue(half));
  const result = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) result[i] = table[halves[i]];
  return result;
}

let table = null;

function halfValue(half) {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}
