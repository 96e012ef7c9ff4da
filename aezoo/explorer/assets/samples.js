"use strict";
// Samples: thumbnails, clicks on them, and a canvas to draw an input.

let sampleSprite = null;
let sampleValues = null;
let sampleStarts = null;
let labels = null;
const conditionValues = {};
let unitLow, unitHigh, unitMean;

async function loadSamples() {
  [unitLow, unitHigh, unitMean] = await Promise.all(["unit-low", "unit-high", "unit-mean"].map((name) => array(name, Float32Array)));
  if (has("labels")) labels = await array("labels", Uint16Array);
  for (const { name } of manifest.conditions) conditionValues[name] = await array(`condition-${name}`, Int32Array);
  const { kind, picture } = manifest.data;
  if (kind === "image") sampleSprite = await readSprite(await blob("samples.png"), picture);
  if (kind === "vector") sampleValues = await array("samples", Float32Array);
  if (kind === "sketch") {
    sampleValues = await array("strokes", Float32Array);
    sampleStarts = [0];
    for (const length of await array("lengths", Uint16Array)) sampleStarts.push(sampleStarts.at(-1) + length);
  }
}

/** Return a sample as the model accepts it. */
function sample(i) {
  const { kind, low, high, levels, shape } = manifest.data;
  if (kind === "image") return Float32Array.from(sampleSprite.tile(i), (byte) => low + (high - low) * (byte / levels));
  if (kind === "vector") return sampleValues.slice(i * inputSize, (i + 1) * inputSize);
  const steps = new Float32Array(inputSize);
  for (let t = 0; t < shape[0]; t++) {
    const at = sampleStarts[i] + t;
    if (at >= sampleStarts[i + 1]) {
      steps[5 * t + 4] = 1;
      continue;
    }
    const [dx, dy, lifts] = sampleValues.subarray(3 * at, 3 * at + 3);
    steps.set([dx, dy, lifts ? 0 : 1, lifts ? 1 : 0, 0], 5 * t);
  }
  return steps;
}

const nameOf = (i) => (labels ? `Sample ${i}, class ${manifest.data.classes[labels[i]]}` : `Sample ${i}`);

/** Return the conditions of a sample. */
const conditionsOf = (i) => Object.fromEntries(Object.entries(conditionValues).map(([name, values]) => [name, values[i]]));

function thumbnail(i, click, pressed = null) {
  const shown = sampleSprite ? sampleSprite.shown(i) : element("canvas");
  const button = element("button", { type: "button", className: "thumb", "aria-label": nameOf(i), title: nameOf(i), click }, shown);
  button.dataset.sample = i;
  if (pressed !== null) button.setAttribute("aria-pressed", pressed);
  if (!sampleSprite) requestAnimationFrame(() => draw(shown, sample(i), manifest.data));
  return button;
}

/** Show thumbnails in an element; a click makes a sample the input. */
function showThumbnails(place, indices) {
  place.replaceChildren(...indices.map((i) => thumbnail(i, () => chooseSample(i))));
}

function chooseSample(i) {
  Object.assign(state.conditions, conditionsOf(i));
  if (manifest.conditions.length) $("condition").value = state.conditions[manifest.conditions[0].name];
  return setInput(sample(i), i);
}

// === The panel ===

const role = () => document.querySelector("input[name=role]:checked").value;

function startSamples() {
  const { data } = manifest;
  const rounded = data.kind === "image" && !data.exact ? " Their values are rounded to 8 bits." : "";
  $("samples-about").textContent = `${data.count.toLocaleString("en")} samples of ${data.name}. All numbers on this page are computed from them.${rounded}`;
  let shown = [...Array(data.count).keys()];
  const listing = pages($("samples-previous"), $("samples-next"), 48, () => shown.length, (from, to) => {
    $("samples-position").textContent = `${from + 1} to ${to} of ${shown.length.toLocaleString("en")}`;
    $("samples-grid").replaceChildren(...shown.slice(from, to).map((i) => thumbnail(i, () => take(i), i === state.sample)));
  });
  function take(i) {
    return { input: chooseSample, a: (n) => setEnd("a", n), b: (n) => setEnd("b", n), with: (n) => addExample("with", n), without: (n) => addExample("without", n) }[role()](i);
  }
  if (labels) {
    $("class-row").hidden = false;
    $("class").append(...data.classes.map((name, i) => element("option", { value: i }, name)));
    $("class").addEventListener("change", () => {
      const chosen = $("class").value;
      shown = [...Array(data.count).keys()].filter((i) => chosen === "" || labels[i] === Number(chosen));
      listing.first = 0;
      listing.show();
    });
  }
  $("samples-random").addEventListener("click", () => take(shown[Math.floor(Math.random() * shown.length)]));
  on("input", () => {
    for (const button of $("samples-grid").children) button.setAttribute("aria-pressed", Number(button.dataset.sample) === state.sample);
  });
  listing.show();
}

// === Drawing ===

function startDrawing() {
  const { kind, picture, low, high } = manifest.data;
  if (kind !== "image") return;
  $("draw").hidden = false;
  const [height, width, channels] = picture;
  const canvas = $("draw-canvas");
  canvas.style.aspectRatio = `${width} / ${height}`;
  const background = low < 0 ? low : 0;
  let values = new Float32Array(inputSize).fill(background);
  let pen = { x: width / 2, y: height / 2, down: false };
  let last = null;
  $("draw-color-row").hidden = channels === 1;
  const thickness = slider({ label: "Width", low: 0.5, high: Math.max(2, width / 8), step: 0.1, value: Math.max(0.7, width / 20), take: () => {}, text: (v) => `${v.toFixed(1)} px` });
  $("draw-width").append(thickness.node);

  function ink() {
    if (document.querySelector("input[name=pen]:checked").value === "erase") return new Array(channels).fill(background);
    const hex = channels === 1 ? "#ffffff" : $("draw-color").value;
    return [1, 3, 5].slice(0, channels).map((i) => low + ((high - low) * parseInt(hex.slice(i, i + 2), 16)) / 255);
  }

  /** Paint a line with soft edges. */
  function line(x0, y0, x1, y1) {
    const paint = ink();
    const radius = thickness.value;
    const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const t = length ? clamp(((x + 0.5 - x0) * (x1 - x0) + (y + 0.5 - y0) * (y1 - y0)) / length, 0, 1) : 0;
        const distance = Math.hypot(x + 0.5 - x0 - t * (x1 - x0), y + 0.5 - y0 - t * (y1 - y0));
        const cover = clamp(radius + 0.5 - distance, 0, 1);
        if (!cover) continue;
        for (let c = 0; c < channels; c++) {
          const at = (y * width + x) * channels + c;
          const covered = values[at] + cover * (paint[c] - values[at]);
          // Where two lines overlap, a pixel keeps the value closer to the paint.
          if (Math.abs(covered - paint[c]) < Math.abs(values[at] - paint[c])) values[at] = covered;
        }
      }
    }
  }

  function show() {
    draw(canvas, values, manifest.data);
    $("draw-state").textContent = pen.down ? "Pen down" : "Pen up";
    if (document.activeElement === canvas && !last) {
      const context = canvas.getContext("2d");
      context.fillStyle = pen.down ? "#ff5a4d" : "#4da3ff";
      context.fillRect(Math.floor(pen.x), Math.floor(pen.y), 1, 1);
    }
  }

  function changed() {
    show();
    setInput($("draw-center").checked ? centered(values) : values.slice());
  }

  /** Move the center of mass to the middle, as in MNIST. */
  function centered(image) {
    let [mass, mx, my] = [0, 0, 0];
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < channels; c++) {
        const value = image[i * channels + c] - background;
        mass += value;
        mx += value * ((i % width) + 0.5);
        my += value * (Math.floor(i / width) + 0.5);
      }
    }
    if (mass < 1e-6) return image.slice();
    const [dx, dy] = [Math.round(width / 2 - mx / mass), Math.round(height / 2 - my / mass)];
    const moved = new Float32Array(image.length).fill(background);
    for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
      for (let x = Math.max(0, -dx); x < Math.min(width, width - dx); x++) {
        for (let c = 0; c < channels; c++) moved[((y + dy) * width + x + dx) * channels + c] = image[(y * width + x) * channels + c];
      }
    }
    return moved;
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    line(...last, ...last);
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = place(event);
    line(...last, ...now);
    last = now;
    changed();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") pen.down = !pen.down;
    else if (!directions[event.key]) return;
    event.preventDefault();
    const [dx, dy] = directions[event.key] || [0, 0];
    const [x, y] = [clamp(pen.x + dx, 0.5, width - 0.5), clamp(pen.y + dy, 0.5, height - 0.5)];
    if (pen.down) line(pen.x, pen.y, x, y);
    pen = { ...pen, x, y };
    if (pen.down) changed();
    else show();
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, show);
  $("draw-center").addEventListener("change", changed);
  $("draw-clear").addEventListener("click", () => {
    values.fill(background);
    changed();
  });
  $("draw-copy").addEventListener("click", () => {
    values = state.input.slice();
    show();
  });
  show();
}
