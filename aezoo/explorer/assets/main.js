"use strict";
// Start of the page, and `explorer`, an object for the console and for tests.

const explorer = { manifest, state, timings, idle, encode, decode, score, sample, setInput, setCode, ready: null };
window.explorer = explorer;

const redraws = [];

/** Call a function as soon as a canvas has a size, and again when its size or the color scheme changes. */
function whenSized(canvas, redraw) {
  let width = 0;
  redraws.push(redraw);
  new ResizeObserver(() => {
    if (canvas.clientWidth && canvas.clientWidth !== width) {
      width = canvas.clientWidth;
      redraw();
    }
  }).observe(canvas);
}

function startHeader() {
  $("title").textContent = manifest.title;
  $("summary").textContent = manifest.summary;
  $("note").hidden = !manifest.note;
  // Model cards are Markdown; of its marks, notes have those of code.
  $("note").append(...manifest.note.split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part)));
  const about = [
    ["Model", `${manifest.class}, ${manifest.parameters.toLocaleString("en")} parameters`],
    ["Paper", manifest.reference],
    ["Data", `${manifest.data.count.toLocaleString("en")} samples of ${manifest.data.name}`],
    ["Made with", `aezoo ${manifest.version}`],
  ];
  $("about").append(...about.filter(([, text]) => text).flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function startContents() {
  for (const panel of document.querySelectorAll(".panel:not([hidden])")) {
    $("contents").append(element("li", {}, element("a", { href: `#${panel.id}` }, panel.querySelector("h2").textContent)));
  }
}

function showTiming() {
  const name = sessions.step ? "step" : "decode";
  if (timings[name].length) {
    const what = sessions.step ? "points" : "decoded codes";
    $("timing").textContent = `Median time of the last ${timings[name].length} ${what}: ${median(timings[name]).toFixed(2)} ms.`;
  }
}

async function start() {
  startHeader();
  if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined") {
    throw new Error("this browser has no WebAssembly or no DecompressionStream. Use a newer one.");
  }
  await loadSamples();
  await startNetworks();
  await loadUnits();
  startStage();
  startSamples();
  startDrawing();
  startCode();
  await startMap();
  startBetween();
  await startUnits();
  await startScores();
  await startRate();
  startSketch();
  startContents();
  on("output", showTiming);
  await chooseSample(0);
  await setEnd("a", 0);
  await setEnd("b", 1);
  $("main").inert = false;
  $("status").hidden = true;
}

explorer.ready = start();
explorer.ready.catch(() => {}); // `unhandledrejection` reports the error
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!state.output) return;
  redraws.forEach((redraw) => redraw());
  tell("code");
});
