"use strict";
// The current input, its code and its output. Panels change these and listen to changes.

const state = {
  sample: null, // number of the sample, or null for a drawing
  input: null,
  inputCode: null, // code of the input
  code: null, // current code: the code of the input, or changed by a panel
  output: null,
  score: null,
  conditions: {},
};

const listeners = { input: [], code: [], output: [] };
const on = (event, listener) => listeners[event].push(listener);
const tell = (event) => listeners[event].forEach((listener) => listener());

const decoded = latest(async () => {
  state.output = await decode(state.code);
  tell("output");
});

const encoded = latest(async () => {
  const input = state.input;
  const code = await encode(input);
  const scores = sessions.score ? await score(input) : null;
  if (state.input !== input) return; // a newer input waits
  state.inputCode = code;
  state.code = code.slice();
  state.score = scores && scores[0];
  tell("input");
  await setCode(state.code);
});

/** Set the input: a sample by its number, or a drawing. */
function setInput(input, sample = null) {
  state.input = input;
  state.sample = sample;
  return encoded();
}

function setCode(code) {
  state.code = code;
  tell("code");
  return decoded();
}

/** Set single units of the current code. */
function setUnits(changes) {
  const code = state.code.slice();
  for (const [unit, value] of changes) code[unit] = manifest.code.integers ? Math.round(value) : value;
  return setCode(code);
}

function isChanged() {
  return state.code.some((value, i) => value !== state.inputCode[i]);
}

function meanSquaredError(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum / a.length;
}

// === The stage ===

function startStage() {
  for (const id of ["stage-input", "stage-output"]) if (manifest.data.kind === "image") $(id).classList.add("frame");
  $("restore").addEventListener("click", () => setCode(state.inputCode.slice()));
  on("input", () => {
    draw($("stage-input"), state.input, manifest.data);
    $("stage-input-caption").textContent = state.sample === null ? "Your drawing" : nameOf(state.sample);
    $("stage-score").hidden = state.score === null;
    if (state.score !== null) $("stage-score").textContent = `Anomaly score ${written(state.score)}`;
  });
  on("code", () => {
    drawCode($("stage-code"), state.code);
    const changed = isChanged();
    $("stage-code-caption").textContent = changed ? "Code, changed" : "Code of the input";
    $("restore").disabled = !changed;
  });
  on("output", () => {
    draw($("stage-output"), state.output, manifest.output);
    const comparable = manifest.output.comparable && !isChanged();
    $("stage-output-caption").textContent = comparable ? "Reconstruction" : "Decoded";
    const error = manifest.output.comparable ? meanSquaredError(state.input, state.output) : null;
    $("stage-error").textContent = error === null ? "" : `Squared error per value ${written(error)}`;
  });
  const [condition] = manifest.conditions;
  if (condition) {
    $("condition-row").hidden = false;
    $("condition-name").textContent = condition.name;
    for (let value = condition.low; value <= condition.high; value++) {
      $("condition").append(element("option", { value: String(value) }, String(value)));
    }
    // Keep the code, to decode it under another condition.
    $("condition").addEventListener("change", () => {
      state.conditions[condition.name] = Number($("condition").value);
      decoded();
    });
  }
}

/** Draw a code as bars up and down from 0. */
function drawCode(canvas, code) {
  const [context, width, height] = prepared(canvas);
  const scale = codeScale();
  const step = Math.min(28, width / code.length);
  context.fillStyle = color("line");
  context.fillRect(0, height / 2, width, 1);
  context.fillStyle = color("accent");
  code.forEach((value, i) => {
    const size = (clamp(value / scale, -1, 1) * height) / 2;
    context.fillRect(i * step, height / 2 - Math.max(0, size), Math.max(1, step - (step > 4 ? 1 : 0)), Math.abs(size));
  });
}

let scaleOfCodes = 0;

/** Largest absolute value in the codes of the samples. */
function codeScale() {
  if (!scaleOfCodes) for (let i = 0; i < codeSize; i++) scaleOfCodes = Math.max(scaleOfCodes, Math.abs(unitLow[i]), Math.abs(unitHigh[i]));
  return scaleOfCodes || 1;
}
