"use strict";
// Single units of the code.

let unitNumbers, unitDeviation;

async function loadUnits() {
  unitNumbers = await array("units", Uint32Array);
  unitDeviation = await array("unit-deviation", Float32Array);
}

async function startUnits() {
  const { count, bins, top, nearest, threshold, pictures, picture } = manifest.units;
  const [rate, similarity] = [await array("unit-rate", Float32Array), await array("unit-similarity", Float32Array)];
  const [histogram, topSamples] = [await array("unit-histogram", Uint32Array), await array("unit-top", Uint32Array)];
  const nearestUnits = await array("unit-nearest", Uint32Array);
  const sprite = pictures ? await readSprite(await blob("units.png"), picture) : null;
  const places = new Map([...unitNumbers].map((unit, i) => [unit, i]));
  const shows = {
    filters: "A tile shows the weights of a unit, divided by the largest absolute weight: mid-gray is 0.",
    effects: "A tile shows how the decoded mean code changes as the unit rises by its standard deviation: mid-gray is no change.",
  };
  const fewer = count < codeSize ? ` The ${count.toLocaleString("en")} units that vary most are shown.` : "";
  // If all units fire on all samples, as in a code that is nowhere 0, rates are not shown.
  const fires = rate.some((share) => share < 1);
  const firing = fires ? `A unit fires on a sample if its absolute value exceeds ${threshold}.` : "";
  $("units-about").textContent = `${pictures ? `${shows[pictures]} ` : ""}${firing}${fewer}`;
  options($("units-order"), [
    ["number", "by number"],
    ["deviation", "varies most first"],
    ...(fires ? [["rate", "fires most often first"], ["rare", "fires least often first"]] : []),
  ]);
  const keys = { number: (i) => i, rate: (i) => -rate[i], rare: (i) => rate[i], deviation: (i) => -unitDeviation[i] };
  let order = [...Array(count).keys()];
  let current = 0;
  let before = null;

  function tile(i, note = "") {
    const unit = unitNumbers[i];
    const shown = sprite ? sprite.shown(i) : element("span", { className: "tile" }, String(unit));
    const button = element("button", { type: "button", className: "thumb", title: `Unit ${unit}`, "aria-label": `Unit ${unit}${note && `, ${note}`}`, "aria-pressed": i === current, click: () => select(i) }, shown);
    button.dataset.unit = unit;
    if (note) button.append(element("span", { className: "mark", "aria-hidden": "true" }, note));
    return button;
  }

  const listing = pages($("units-previous"), $("units-next"), 60, () => count, (from, to) => {
    $("units-position").textContent = `${from + 1} to ${to} of ${count.toLocaleString("en")}`;
    $("units-grid").replaceChildren(...order.slice(from, to).map((i) => tile(i)));
  });
  $("units-order").addEventListener("change", () => {
    const key = keys[$("units-order").value];
    order = [...Array(count).keys()].sort((a, b) => key(a) - key(b));
    listing.first = 0;
    listing.show();
  });

  const steer = slider({ label: "Value", low: -1, high: 1, step: "any", value: 0, take: (value) => change(value), text: unitValue });
  $("unit-slider").append(steer.node);
  const change = (value) => setUnits([[unitNumbers[current], value]]);

  function select(i) {
    current = i;
    const unit = unitNumbers[i];
    for (const button of $("units-grid").children) button.setAttribute("aria-pressed", Number(button.dataset.unit) === unit);
    $("unit-title").textContent = `Unit ${unit}`;
    $("unit-picture").hidden = !sprite;
    if (sprite) {
      drawImage($("unit-picture"), sprite.tile(i), picture, (byte) => byte);
      $("unit-picture").setAttribute("aria-label", `Unit ${unit}: its ${pictures === "filters" ? "weights" : "effect on the mean code"}`);
    }
    const share = fires ? `Fires on ${(100 * rate[i]).toFixed(1)} % of the samples. ` : "";
    $("unit-numbers").textContent = `${share}Mean ${written(unitMean[unit])}, standard deviation ${written(unitDeviation[i])}, from ${written(unitLow[unit])} to ${written(unitHigh[unit])}.`;
    showThumbnails($("unit-top"), [...topSamples.subarray(i * top, (i + 1) * top)]);
    $("unit-nearest").replaceChildren(
      ...[...nearestUnits.subarray(i * nearest, (i + 1) * nearest)].map((other, j) => tile(places.get(other), similarity[i * nearest + j].toFixed(2))),
    );
    const { low, high, step } = unitRange(unit);
    steer.range = [low, high];
    steer.input.step = step;
    steer.value = state.code[unit];
    drawUnitHistogram();
    compare();
  }

  function drawUnitHistogram() {
    const unit = unitNumbers[current];
    const counts = [...histogram.subarray(current * bins, (current + 1) * bins)];
    const high = unitHigh[unit] > unitLow[unit] ? unitHigh[unit] : unitLow[unit] + 1;
    drawHistogram($("unit-histogram"), counts, unitLow[unit], high, "value of the unit", () => false, [{ value: state.code[unit], style: "mark", label: "now" }]);
    $("unit-histogram").setAttribute("aria-label", `Histogram of unit ${unit} over the samples`);
  }

  /** Decode the current code with and without the change of the unit, and show both. */
  const compare = latest(async () => {
    const unit = unitNumbers[current];
    const code = state.code.slice();
    code[unit] = state.inputCode[unit];
    before = code[unit] === state.code[unit] && state.output ? state.output : await decode(code);
    draw($("unit-before"), before, manifest.output);
    showAfter();
  });

  function showAfter() {
    if (!before || !state.output) return;
    draw($("unit-after"), state.output, manifest.output);
    $("unit-change-figure").hidden = manifest.output.kind !== "image";
    if (manifest.output.kind !== "image") return;
    const range = manifest.output.high - manifest.output.low;
    drawSigned($("unit-change"), state.output.map((value, i) => value - before[i]), manifest.output.picture, range);
  }

  $("unit-ablate").addEventListener("click", () => change(0));
  $("unit-restore").addEventListener("click", () => change(state.inputCode[unitNumbers[current]]));
  on("input", () => {
    if (before) return;
    listing.show();
    before = new Float32Array(0);
    // Start with the unit that is largest in the first input: unit 0 may be dead.
    let largest = 0;
    unitNumbers.forEach((unit, i) => {
      if (Math.abs(state.inputCode[unit]) > Math.abs(state.inputCode[unitNumbers[largest]])) largest = i;
    });
    select(largest);
  });
  on("code", () => {
    if (!before) return;
    steer.value = state.code[unitNumbers[current]];
    drawUnitHistogram();
  });
  on("output", compare);
}
