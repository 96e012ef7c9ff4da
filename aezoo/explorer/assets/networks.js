"use strict";
// The networks of the model in ONNX Runtime Web, on one thread, one call after the other.

const sessions = {};
const timings = { decode: [], step: [] };
let pending = 0;
let queue = Promise.resolve();

async function startNetworks() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await blob("runtime")).buffer;
  const weights = await blob("weights");
  for (const name of Object.keys(manifest.networks)) {
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    if (weights.length) options.externalData = [{ path: "weights", data: weights }];
    sessions[name] = await ort.InferenceSession.create(await blob(`network-${name}`), options);
  }
}

const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);
const inputSize = sizeOf(manifest.data.shape);
const codeSize = manifest.code.size;
const outputSize = sizeOf(manifest.output.shape);

/** Run a network on named Float32Arrays with shapes; return its outputs by name. Runs wait for earlier runs. */
function run(name, inputs) {
  pending += 1;
  const result = queue.then(async () => {
    const feeds = {};
    for (const [input, dtype] of Object.entries(manifest.networks[name].inputs)) {
      const { values, shape } = inputs[input];
      const data = dtype === "int32" ? Int32Array.from(values, Math.round) : dtype === "int64" ? BigInt64Array.from(values, (v) => BigInt(Math.round(v))) : values;
      feeds[input] = new ort.Tensor(dtype, data, shape);
    }
    const start = performance.now();
    const outputs = await sessions[name].run(feeds);
    const rows = Object.values(inputs)[0].shape[0];
    if (timings[name] && rows === 1) {
      timings[name].push(performance.now() - start);
      if (timings[name].length > 200) timings[name].shift();
    }
    return outputs;
  });
  queue = result.catch(() => {}).finally(() => (pending -= 1));
  return result;
}

function withConditions(inputs, count, conditions) {
  for (const { name } of manifest.conditions) {
    const value = conditions[name];
    inputs[name] = { values: typeof value === "number" ? new Array(count).fill(value) : value, shape: [count] };
  }
  return inputs;
}

const floats = (tensor) => (tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(tensor.data, Number));

/** Return the codes of samples, concatenated. */
async function encode(x, conditions = state.conditions) {
  const count = x.length / inputSize;
  const inputs = withConditions({ x: { values: x, shape: [count, ...manifest.data.shape] } }, count, conditions);
  return floats(Object.values(await run("encode", inputs))[0]);
}

/** Return the decoded codes, concatenated. */
async function decode(z, conditions = state.conditions) {
  const count = z.length / codeSize;
  if (sessions.step) return drawnSteps(z);
  const inputs = withConditions({ z: { values: z, shape: [count, ...manifest.code.shape] } }, count, conditions);
  return floats(Object.values(await run("decode", inputs))[0]);
}

/** Return the anomaly scores of samples. */
async function score(x, conditions = state.conditions) {
  const count = x.length / inputSize;
  const inputs = withConditions({ x: { values: x, shape: [count, ...manifest.data.shape] } }, count, conditions);
  return floats(Object.values(await run("score", inputs))[0]);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : NaN;
}

// === Step by step ===

/** Return a generator of numbers in (0, 1) from a seed (mulberry32). */
function randomNumbers(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

const gumbel = (random) => -Math.log(-Math.log(random()));

/** Start drawing the sketches of codes; `next` draws one point of each and returns (count, 5). */
async function drawing(z, temperature = 0, seed = 0) {
  const count = z.length / codeSize;
  const units = { values: z, shape: [count, codeSize] };
  const first = await run("start", { z: units });
  let [h, c] = [floats(first.h), floats(first.c)];
  let before = new Float32Array(5 * count);
  for (let i = 0; i < count; i++) before[5 * i + 2] = 1;
  const random = randomNumbers(seed);
  const noise = (values) => (temperature ? values.map((value) => value + temperature * gumbel(random)) : values);
  return {
    async next() {
      const width = h.length / count;
      const outputs = await run("step", {
        z: units,
        h: { values: h, shape: [count, width] },
        c: { values: c, shape: [count, width] },
        before: { values: before, shape: [count, 5] },
      });
      [h, c] = [floats(outputs.new_h), floats(outputs.new_c)];
      const components = outputs.weights.dims[1];
      const step = new Float32Array(5 * count);
      for (let i = 0; i < count; i++) {
        const part = (name, size) => floats(outputs[name]).subarray(i * size, (i + 1) * size);
        const pen = largestOf(noise(part("pen", 3)));
        if (before[5 * i + 4] || pen === 2) {
          step[5 * i + 4] = 1;
          continue;
        }
        const j = largestOf(noise(part("weights", components)));
        const [mean, scale] = [part("mean", 2 * components), part("scale", 2 * components)];
        const correlation = part("correlation", components)[j];
        const radius = temperature ? Math.sqrt(-2 * Math.log(random()) * temperature) : 0;
        const angle = 2 * Math.PI * (temperature ? random() : 0);
        const [u, v] = [radius * Math.cos(angle), radius * Math.sin(angle)];
        step[5 * i] = mean[2 * j] + scale[2 * j] * u;
        step[5 * i + 1] = mean[2 * j + 1] + scale[2 * j + 1] * (correlation * u + Math.sqrt(1 - correlation ** 2) * v);
        step[5 * i + 2 + pen] = 1;
      }
      before = step;
      return step;
    },
  };
}

function largestOf(values) {
  let found = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[found]) found = i;
  return found;
}

/** Draw a sketch per code, (count, steps, 5): the most likely one at a temperature of 0. */
async function drawnSteps(z, temperature = 0, seed = 0) {
  const count = z.length / codeSize;
  const steps = manifest.output.shape[0];
  const drawn = new Float32Array(count * steps * 5);
  const pen = await drawing(z, temperature, seed);
  for (let t = 0; t < steps; t++) {
    const step = await pen.next();
    let ended = true;
    for (let i = 0; i < count; i++) {
      drawn.set(step.subarray(5 * i, 5 * i + 5), (i * steps + t) * 5);
      ended = ended && step[5 * i + 4] > 0;
    }
    if (!ended) continue;
    for (let i = 0; i < count; i++) for (let rest = t + 1; rest < steps; rest++) drawn[(i * steps + rest) * 5 + 4] = 1;
    break;
  }
  return drawn;
}
