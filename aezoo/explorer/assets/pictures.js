"use strict";
// Sprites, and drawing on canvases.

/** Read a PNG that sprites.py wrote, with 8 bits per channel, no filter and one IDAT. */
async function readSprite(bytes, [height, width, channels]) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const columns = view.getUint32(16) / width;
  const rows = view.getUint32(20) / height;
  const length = view.getUint32(33);
  const raw = await inflated(bytes.subarray(41, 41 + length), "deflate");
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  const line = 1 + columns * width * channels;
  return {
    /** Return the bytes of a tile. */
    tile(i) {
      const found = new Uint8Array(height * width * channels);
      const [top, left] = [Math.floor(i / columns) * height, (i % columns) * width * channels];
      for (let y = 0; y < height; y++) {
        const start = (top + y) * line + 1 + left;
        found.set(raw.subarray(start, start + width * channels), y * width * channels);
      }
      return found;
    },
    /** Return an element that shows a tile. */
    shown(i) {
      const made = element("span");
      made.style.backgroundImage = `url(${url})`;
      made.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
      const x = columns > 1 ? (100 * (i % columns)) / (columns - 1) : 0;
      const y = rows > 1 ? (100 * Math.floor(i / columns)) / (rows - 1) : 0;
      made.style.backgroundPosition = `${x}% ${y}%`;
      return made;
    },
  };
}

/** Resize a canvas to its size on the page, and return its context in CSS pixels. */
function prepared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth || 200, canvas.clientHeight || 120];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

function drawImage(canvas, values, [height, width, channels], toByte) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = toByte(values[i * channels + (channels === 3 ? c : 0)]);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Draw an image with 0 as mid-gray and `largest` as white. */
function drawSigned(canvas, values, picture, largest) {
  drawImage(canvas, values, picture, (value) => Math.round(128 + (127 * value) / largest));
}

function drawVector(canvas, values, { low, high }) {
  canvas.classList.add("smooth");
  const [context, width, height] = prepared(canvas);
  const step = width / values.length;
  const y = (value) => height - 3 - ((clamp(value, low, high) - low) / (high - low)) * (height - 6);
  context.fillStyle = "#0b57a4";
  values.forEach((value, i) => {
    const [from, to] = [y(Math.max(low, Math.min(0, high))), y(value)];
    context.fillRect(i * step, Math.min(from, to), Math.max(1, step - (step > 4 ? 1 : 0)), Math.max(1, Math.abs(to - from)));
  });
}

/** Return the lines of a stroke-5 sketch up to its end, in the units of its offsets. */
function linesOf(steps) {
  const lines = [];
  let [x, y, line] = [0, 0, null];
  for (let i = 0; i + 4 < steps.length; i += 5) {
    if (steps[i + 4] > 0) break;
    x += steps[i];
    y += steps[i + 1];
    if (!line) lines.push((line = []));
    line.push([x, y]);
    if (steps[i + 3] > 0) line = null;
  }
  return lines;
}

/** Draw a sketch in black, over the complete sketch `whole` in gray. */
function drawSketch(canvas, steps, whole = steps) {
  canvas.classList.add("smooth");
  const [context, width, height] = prepared(canvas);
  const points = linesOf(whole).flat();
  if (!points.length) return;
  const extent = boxOf(points);
  const room = 0.86 * Math.min(width, height);
  const scale = room / Math.max(extent[2] - extent[0], extent[3] - extent[1], 1e-6);
  const [x, y] = [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2];
  context.lineWidth = Math.max(1, width / 110);
  context.lineCap = context.lineJoin = "round";
  for (const [part, style] of whole === steps ? [[steps, "#16191d"]] : [[whole, "#dde2e8"], [steps, "#16191d"]]) {
    context.strokeStyle = context.fillStyle = style;
    for (const line of linesOf(part)) {
      context.beginPath();
      line.forEach(([px, py], i) => {
        const at = [width / 2 + (px - x) * scale, height / 2 + (py - y) * scale];
        if (i) context.lineTo(...at);
        else context.moveTo(...at);
        if (line.length === 1) context.fillRect(at[0] - 1, at[1] - 1, 2, 2);
      });
      context.stroke();
    }
  }
}

function boxOf(points) {
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Draw a sample or a decoded code, as the manifest describes it. */
function draw(canvas, values, described) {
  if (described.kind === "sketch") drawSketch(canvas, values);
  else if (described.kind === "vector") drawVector(canvas, values, described);
  else {
    const { low, high } = described;
    drawImage(canvas, values, described.picture, (value) => Math.round((255 * (clamp(value, low, high) - low)) / (high - low)));
  }
}

// === Charts ===

/** Draw the frame of a chart; return functions from values to pixels. */
function axes(context, width, height, [left, right], [bottom, top], titles) {
  const margin = { left: 46, right: 12, top: 22, bottom: 34 };
  const x = (value) => margin.left + ((value - left) / (right - left || 1)) * (width - margin.left - margin.right);
  const y = (value) => height - margin.bottom - ((value - bottom) / (top - bottom || 1)) * (height - margin.top - margin.bottom);
  context.strokeStyle = color("line");
  context.fillStyle = color("soft");
  context.font = "12px system-ui, sans-serif";
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(margin.left, margin.top);
  context.lineTo(margin.left, height - margin.bottom);
  context.lineTo(width - margin.right, height - margin.bottom);
  context.stroke();
  context.textAlign = "center";
  for (const value of ticks(left, right, Math.max(4, Math.floor(width / 60)))) {
    context.fillText(shortly(value), x(value), height - margin.bottom + 14);
  }
  context.fillText(titles[0], (margin.left + width - margin.right) / 2, height - 5);
  context.textAlign = "right";
  const down = ticks(bottom, top, Math.max(2, Math.floor(height / 70)));
  for (const value of down) context.fillText(shortly(value), margin.left - 5, y(value) + 4);
  if (titles[1]) {
    context.textAlign = "left";
    context.fillText(titles[1], margin.left, 14);
  }
  return [x, y];
}

function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * step; value += step) found.push(value);
  return found;
}

const shortly = (value) => String(Number(value.toPrecision(3)));

/** Draw the bars of a histogram from `low` to `high`; `isMarked` selects the highlighted bars. */
function drawHistogram(canvas, counts, low, high, title, isMarked, lines) {
  const [context, width, height] = prepared(canvas);
  const [x, y] = axes(context, width, height, [low, high], [0, Math.max(1, ...counts)], [`${title} (height: number of samples)`]);
  const step = (high - low) / counts.length;
  counts.forEach((count, i) => {
    context.fillStyle = color(isMarked(i) ? "mark" : "bar");
    const left = x(low + i * step);
    context.fillRect(left, y(count), Math.max(1, x(low + (i + 1) * step) - left - 1), y(0) - y(count));
  });
  for (const { value, style, label } of lines) {
    if (value < low || value > high) continue;
    context.textAlign = x(value) > width / 2 ? "right" : "left";
    context.fillStyle = color("ink");
    context.fillText(label, x(value) + (x(value) > width / 2 ? -5 : 5), style === "accent" ? 32 : 16);
    context.strokeStyle = color(style);
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x(value), 6);
    context.lineTo(x(value), y(0));
    context.stroke();
  }
}
