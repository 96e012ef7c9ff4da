"use strict";
// A sketch, drawn point by point.

function startSketch() {
  if (!sessions.step) return;
  $("sketch").hidden = false;
  const most = manifest.output.shape[0];
  let seed = 0;
  let drawn = [];
  let pen = null;
  let ended = false;
  let playing = false;
  let whole = [];
  const temperature = slider({ label: "Temperature", low: 0, high: 1, step: 0.05, value: 0, take: () => restart(), text: (v) => v.toFixed(2) });
  const speed = slider({ label: "Speed", low: 2, high: 60, step: 1, value: 20, take: () => {}, text: (v) => `${v} per s` });
  $("sketch-temperature").append(temperature.node);
  $("sketch-speed").append(speed.node);

  function show() {
    drawSketch($("sketch-canvas"), drawn, whole);
    const points = drawn.length / 5 - (ended && drawn.at(-1) ? 1 : 0);
    const end = ended ? ", done" : "";
    $("sketch-state").textContent = `${points} points${end}. ${median(timings.step).toFixed(1)} ms per point.`;
    $("sketch-play").textContent = playing ? "Pause" : "Draw";
    $("sketch-step").disabled = ended;
    explorer.sketch = drawn;
  }

  /** Start the sketch of the current code. It is drawn once in full, to show it and to fix its scale. */
  const begin = latest(async () => {
    const code = state.code;
    whole = await drawnSteps(code, temperature.value, seed);
    pen = await drawing(code, temperature.value, seed);
    drawn = [];
    ended = false;
    show();
  });

  const advance = latest(async () => {
    if (ended || !pen) return;
    const step = await pen.next();
    drawn.push(...step);
    ended = step[4] > 0 || drawn.length / 5 >= most;
    if (ended) playing = false;
    show();
  });

  async function play() {
    playing = true;
    if (ended) await begin();
    while (playing && !ended) {
      await advance();
      await new Promise((resolve) => setTimeout(resolve, 1000 / speed.value));
    }
  }

  const restart = () => {
    playing = false;
    return begin();
  };
  $("sketch-play").addEventListener("click", () => {
    if (playing) {
      playing = false;
      show();
    } else play();
  });
  $("sketch-step").addEventListener("click", () => {
    playing = false;
    advance();
  });
  $("sketch-again").addEventListener("click", restart);
  $("sketch-other").addEventListener("click", async () => {
    seed += 1;
    if (!temperature.value) temperature.value = 0.3;
    await restart();
    play();
  });
  on("code", restart);
}
