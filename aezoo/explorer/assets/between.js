"use strict";
// Paths between two samples, and attribute vectors.

const ends = { a: null, b: null };
const examples = { with: [], without: [] };
let showEnds, showExamples;

/** Take a sample, or the current input, as an end of the path. */
async function setEnd(name, index) {
  const [input, conditions] = index === null ? [state.input, { ...state.conditions }] : [sample(index), conditionsOf(index)];
  ends[name] = { index, input, code: await encode(input, conditions) };
  await showEnds();
}

async function addExample(kind, index) {
  const at = examples[kind].findIndex((each) => each.index === index);
  if (at >= 0) examples[kind].splice(at, 1); // a second click removes it
  else examples[kind].push({ index, code: await encode(sample(index), conditionsOf(index)) });
  showExamples();
}

/** Return the code at t in [0, 1] of the path from a to b: a line, or an arc around the origin. */
function between(a, b, t) {
  let [ofA, ofB] = [1 - t, t];
  if (manifest.interpolation === "arc") {
    const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
    const lengths = Math.sqrt(dot(a, a) * dot(b, b));
    const angle = Math.acos(clamp(dot(a, b) / Math.max(lengths, 1e-7), -1, 1));
    if (Math.sin(angle) >= 1e-3 && lengths) [ofA, ofB] = [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  }
  return a.map((value, i) => {
    const mixed = ofA * value + ofB * b[i];
    return manifest.code.integers ? Math.round(mixed) : mixed;
  });
}

function startBetween() {
  const path = manifest.interpolation === "arc" ? "the arc" : "the straight line";
  $("between-about").textContent = `Choose A and B among the samples, or use the current input. The slider decodes points on ${path} between their codes.`;
  $("attribute-about").textContent =
    "An attribute is a direction: the mean code of examples that have it minus the mean code of examples that do not. The slider adds it to the code of the input.";
  const frames = 9;
  const position = slider({ label: "From A to B", low: 0, high: 1, step: 0.01, value: 0, take: (t) => go(t), text: (t) => t.toFixed(2) });
  position.input.disabled = true;
  $("between-slider").append(position.node);

  function go(t) {
    position.value = t;
    [...$("between-path").children].forEach((button, i) => button.setAttribute("aria-pressed", Math.abs(i / (frames - 1) - t) < 1e-6));
    return setCode(between(ends.a.code, ends.b.code, t));
  }

  showEnds = async () => {
    for (const name of ["a", "b"]) {
      const end = ends[name];
      if (!end) continue;
      if (end.index !== null) showThumbnails($(`between-${name}`), [end.index]);
      else {
        const canvas = element("canvas");
        $(`between-${name}`).replaceChildren(element("span", { className: "thumb" }, canvas));
        draw(canvas, end.input, manifest.data);
      }
    }
    position.input.disabled = !(ends.a && ends.b);
    if (position.input.disabled) return;
    const codes = new Float32Array(frames * codeSize);
    for (let i = 0; i < frames; i++) codes.set(between(ends.a.code, ends.b.code, i / (frames - 1)), i * codeSize);
    explorer.path = await decode(codes);
    $("between-path").replaceChildren(
      ...[...Array(frames).keys()].map((i) => {
        const canvas = element("canvas");
        const button = element("button", { type: "button", "aria-label": `Point ${i + 1} of ${frames} of the path`, "aria-pressed": "false", click: () => go(i / (frames - 1)) }, canvas);
        requestAnimationFrame(() => draw(canvas, explorer.path.subarray(i * outputSize, (i + 1) * outputSize), manifest.output));
        return button;
      }),
    );
  };

  const strength = slider({ label: "Strength", low: -2, high: 2, step: 0.05, value: 0, take: (s) => add(s), text: (s) => s.toFixed(2) });
  strength.input.disabled = true;
  $("attribute-slider").append(strength.node);

  function direction() {
    const mean = (list) => list[0].code.map((_, i) => list.reduce((sum, each) => sum + each.code[i], 0) / list.length);
    const [w, without] = [mean(examples.with), mean(examples.without)];
    return w.map((value, i) => value - without[i]);
  }

  function add(s) {
    const vector = direction();
    const code = state.inputCode.map((value, i) => value + s * vector[i]);
    return setCode(manifest.code.integers ? code.map(Math.round) : code);
  }

  showExamples = () => {
    for (const kind of ["with", "without"]) {
      const list = examples[kind];
      $(`attribute-${kind}-count`).textContent = `${kind === "with" ? "With" : "Without"}: ${list.length || "none"}`;
      showThumbnails($(`attribute-${kind}-thumbs`), list.slice(0, 12).map((each) => each.index));
    }
    strength.input.disabled = !(examples.with.length && examples.without.length);
    strength.value = 0;
  };
  on("input", () => (strength.value = 0));
  for (const name of ["a", "b"]) $(`between-set-${name}`).addEventListener("click", () => setEnd(name, state.sample));
  $("attribute-clear").addEventListener("click", () => {
    examples.with = [];
    examples.without = [];
    showExamples();
  });
  if (!labels) return;
  $("attribute-classes").hidden = false;
  const names = manifest.data.classes.map((name, i) => [i, `class ${name}`]);
  options($("attribute-with"), names);
  options($("attribute-without"), names);
  $("attribute-without").selectedIndex = Math.min(1, names.length - 1);
  $("attribute-use").addEventListener("click", async () => {
    for (const kind of ["with", "without"]) {
      const members = [...labels.keys()].filter((i) => labels[i] === Number($(`attribute-${kind}`).value)).slice(0, 100);
      const codes = await Promise.all(members.map((i) => encode(sample(i), conditionsOf(i))));
      examples[kind] = members.map((index, i) => ({ index, code: codes[i] }));
    }
    showExamples();
  });
}
