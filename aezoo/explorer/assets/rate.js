"use strict";
// Bits and error of a model that compresses.

async function startRate() {
  if (!manifest.compression) return;
  $("rate").hidden = false;
  const { low, count, channels, pixels } = manifest.compression;
  const [table, rates, errors] = [await array("bits", Float32Array), await array("rates", Float32Array), await array("errors", Float32Array)];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  $("rate-about").textContent = `Each dot is a sample: the bits of its code under the model's density, and the squared error of its reconstruction. On average, these are ${written(mean(rates))} bits per sample (${written(mean(rates) / pixels)} per pixel) and an error of ${written(mean(errors))}. The line is the input with fewer channels: channels with the fewest bits are set to their likeliest value first.`;
  const bitsOf = (value, channel) => table[channel * count + clamp(Math.round(value) - low, 0, count - 1)];
  /** Return the bits of a code. */
  const rateOf = (code) => code.reduce((sum, value, i) => sum + bitsOf(value, i % channels), 0);
  explorer.rateOf = rateOf;
  const likeliest = [...Array(channels).keys()].map((channel) => {
    let best = 0;
    for (let i = 1; i < count; i++) if (table[channel * count + i] < table[channel * count + best]) best = i;
    return low + best;
  });
  let curve = [];
  const kept = slider({ label: "Channels kept", low: 0, high: channels, step: 1, value: channels, take: (m) => keep(m), text: (m) => `${m} of ${channels}` });
  $("rate-channels").append(kept.node);

  /** Return the channels of the input from the most bits to the fewest. */
  function order() {
    const bits = new Array(channels).fill(0);
    state.inputCode.forEach((value, i) => (bits[i % channels] += bitsOf(value, i % channels)));
    return [...bits.keys()].sort((a, b) => bits[b] - bits[a]);
  }

  function withFewer(m) {
    const stays = new Set(order().slice(0, m));
    return state.inputCode.map((value, i) => (stays.has(i % channels) ? value : likeliest[i % channels]));
  }

  const keep = (m) => setCode(withFewer(m));

  const measure = latest(async () => {
    const input = state.input;
    const codes = new Float32Array((channels + 1) * codeSize);
    for (let m = 0; m <= channels; m++) codes.set(withFewer(m), m * codeSize);
    const outputs = await decode(codes);
    curve = [...Array(channels + 1).keys()].map((m) => ({
      rate: rateOf(codes.subarray(m * codeSize, (m + 1) * codeSize)),
      error: meanSquaredError(input, outputs.subarray(m * outputSize, (m + 1) * outputSize)),
    }));
    explorer.curve = curve;
    show();
  });

  function show() {
    const [context, width, height] = prepared($("rate-chart"));
    const most = (values) => values.reduce((largest, value) => Math.max(largest, value), 0);
    const right = 1.05 * Math.max(most(rates), most(curve.map((each) => each.rate))) / pixels;
    const top = 1.05 * Math.max(most(errors), most(curve.map((each) => each.error)));
    const [x, y] = axes(context, width, height, [0, right], [0, top], ["bits per pixel", "squared error per value"]);
    context.fillStyle = color("bar");
    context.globalAlpha = 0.6;
    rates.forEach((rate, i) => context.fillRect(x(rate / pixels) - 1.5, y(errors[i]) - 1.5, 3, 3));
    context.globalAlpha = 1;
    context.strokeStyle = color("mark");
    context.lineWidth = 2;
    context.beginPath();
    curve.forEach(({ rate, error }) => context.lineTo(x(rate / pixels), y(error)));
    context.stroke();
    if (!state.output) return;
    const [rate, error] = [rateOf(state.code), meanSquaredError(state.input, state.output)];
    context.fillStyle = color("ink");
    context.beginPath();
    context.arc(x(rate / pixels), y(error), 6, 0, 2 * Math.PI);
    context.fill();
    $("rate-point").textContent = `This code: ${rate.toFixed(2)} bits, ${written(rate / pixels)} per pixel, squared error ${written(error)}.`;
  }
  on("input", () => {
    kept.value = channels;
    measure();
  });
  on("output", show);
  whenSized($("rate-chart"), show);
}
