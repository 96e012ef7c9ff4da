"use strict";
// The plane of codes: samples as dots, and the decoded picture of a point.

const classColors = ["#0072b2", "#d55e00", "#009e73", "#b5651d", "#cc79a7", "#7a5cd6", "#c79000", "#3b9fd6", "#7f8790", "#c2334d"];
const classColor = (i) => classColors[i % classColors.length];

async function startMap() {
  if (!manifest.map) return;
  $("map").hidden = false;
  const [mean, directions, positions] = await Promise.all(["map-mean", "map-axes", "map-positions"].map((name) => array(name, Float32Array)));
  const { explained } = manifest.map;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const rounded = manifest.code.integers ? " Its entries are rounded to whole numbers." : "";
  $("map-about").textContent = explained
    ? `Each dot is a sample, placed by the first two principal components of the codes, which explain ${percent(explained[0])} and ${percent(explained[1])} of the variance. The code of a point is the mean code plus these two components.${rounded} Move over the plane to decode a point; click to take its code.`
    : "Each dot is a sample, placed by its code of two units. Move over the plane to decode a point; click to take its code.";
  const titles = explained ? ["first principal component", "second principal component"] : ["unit 0", "unit 1"];
  const canvas = $("map-canvas");
  const count = manifest.data.count;
  const range = [0, 1].map((axis) => {
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < count; i++) {
      low = Math.min(low, positions[2 * i + axis]);
      high = Math.max(high, positions[2 * i + axis]);
    }
    const room = 0.06 * (high - low) || 1;
    return [low - room, high + room];
  });
  let point = [positions[0], positions[1]];
  let base = null;
  let grid = null;
  let [toX, toY] = [null, null];

  function codeAt([a, b]) {
    const code = Float32Array.from(mean, (value, i) => value + a * directions[i] + b * directions[codeSize + i]);
    return manifest.code.integers ? code.map(Math.round) : code;
  }

  function positionOf(code) {
    return [0, 1].map((axis) => code.reduce((sum, value, i) => sum + (value - mean[i]) * directions[axis * codeSize + i], 0));
  }

  /** Draw everything except the moving cross into a separate picture. */
  function redraw() {
    const [context, width, height] = prepared(canvas);
    [toX, toY] = axes(context, width, height, ...range, titles);
    if (grid) {
      const [w, h] = [(toX(range[0][1]) - toX(range[0][0])) / grid.side, (toY(range[1][0]) - toY(range[1][1])) / grid.side];
      context.imageSmoothingEnabled = false;
      grid.tiles.forEach(({ at, picture }) => context.drawImage(picture, toX(at[0]) - w / 2, toY(at[1]) - h / 2, w, h));
    }
    context.globalAlpha = grid ? 0.35 : 0.75;
    for (let i = 0; i < count; i++) {
      context.fillStyle = labels ? classColor(labels[i]) : color("accent");
      context.fillRect(toX(positions[2 * i]) - 1.5, toY(positions[2 * i + 1]) - 1.5, 3, 3);
    }
    context.globalAlpha = 1;
    if (labels && !grid) nameClasses(context);
    base = element("canvas", { width: canvas.width, height: canvas.height });
    base.getContext("2d").drawImage(canvas, 0, 0);
    cross();
  }

  /** Write the name of each class at the median of its samples, so that classes differ by more than color. */
  function nameClasses(context) {
    context.font = "bold 15px system-ui, sans-serif";
    context.textAlign = "center";
    context.lineWidth = 4;
    manifest.data.classes.forEach((name, c) => {
      const members = [...labels.keys()].filter((i) => labels[i] === c);
      const middle = (axis) => median(members.map((i) => positions[2 * i + axis]));
      context.strokeStyle = color("paper");
      context.fillStyle = color("ink");
      context.strokeText(name, toX(middle(0)), toY(middle(1)) + 5);
      context.fillText(name, toX(middle(0)), toY(middle(1)) + 5);
    });
  }

  function cross() {
    if (!base) return;
    const context = canvas.getContext("2d");
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(base, 0, 0);
    context.restore();
    const [x, y] = [toX(point[0]), toY(point[1])];
    for (const [style, width] of [["paper", 5], ["mark", 2]]) {
      context.strokeStyle = color(style);
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - 10, y);
      context.lineTo(x + 10, y);
      context.moveTo(x, y - 10);
      context.lineTo(x, y + 10);
      context.stroke();
    }
  }

  const look = latest(async (at) => {
    point = at;
    cross();
    $("map-point").textContent = `${titles[0]} ${written(at[0])}, ${titles[1]} ${written(at[1])}`;
    explorer.mapOutput = await decode(codeAt(at));
    draw($("map-output"), explorer.mapOutput, manifest.output);
  });

  function pointAt(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const back = (value, to, [low, high]) => low + ((value - to(low)) / (to(high) - to(low))) * (high - low);
    return [back(x, toX, range[0]), back(y, toY, range[1])];
  }

  const take = (at) => {
    look(at);
    return setCode(codeAt(at));
  };
  let pressed = false;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pressed = true;
    take(pointAt(event));
  });
  canvas.addEventListener("pointermove", (event) => (pressed ? take : look)(pointAt(event)));
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (pressed = false));
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return take(point);
    if (!steps[event.key]) return undefined;
    event.preventDefault();
    const share = event.shiftKey ? 0.1 : 0.02;
    return look(point.map((value, i) => clamp(value + share * steps[event.key][i] * (range[i][1] - range[i][0]), ...range[i])));
  });
  $("map-grid").addEventListener("change", async () => {
    grid = $("map-grid").checked ? await decodedGrid() : null;
    redraw();
  });
  $("map-grid-row").hidden = manifest.output.kind !== "image";

  async function decodedGrid(side = 15) {
    const places = [];
    for (let i = 0; i < side * side; i++) {
      const share = [((i % side) + 0.5) / side, (Math.floor(i / side) + 0.5) / side];
      places.push(share.map((value, axis) => range[axis][0] + value * (range[axis][1] - range[axis][0])));
    }
    const codes = new Float32Array(places.length * codeSize);
    places.forEach((at, i) => codes.set(codeAt(at), i * codeSize));
    const outputs = await decode(codes);
    const tiles = places.map((at, i) => {
      const picture = element("canvas");
      draw(picture, outputs.subarray(i * outputSize, (i + 1) * outputSize), manifest.output);
      return { at, picture };
    });
    return { side, tiles };
  }

  if (labels) $("map-legend").append(...manifest.data.classes.map((name, i) => {
    const dot = element("span");
    dot.style.background = classColor(i);
    return element("li", {}, dot, name);
  }));
  on("input", () => look(positionOf(state.inputCode)));
  whenSized(canvas, redraw);
}
