"use strict";
// Sliders of the code.

function startCode() {
  const all = codeSize <= 24;
  const size = all ? codeSize : 16;
  let order = [...Array(codeSize).keys()];
  let shown = [];
  const integers = manifest.code.integers ? " Codes of this model are whole numbers." : "";
  const note = manifest.code.note && ` ${manifest.code.note}`;
  $("code-about").textContent = `Each slider sets one of the ${codeSize.toLocaleString("en")} units of the code. The output at the top follows.${integers}${note}`;
  for (const id of ["code-order-row", "code-previous", "code-next"]) $(id).hidden = all;
  const listing = pages($("code-previous"), $("code-next"), size, () => codeSize, (from, to) => {
    shown = order.slice(from, to).map((unit) => ({
      unit,
      slider: slider({ label: `Unit ${unit}`, ...unitRange(unit), value: state.code ? state.code[unit] : 0, take: (value) => setUnits([[unit, value]]), text: unitValue }),
    }));
    $("code-sliders").replaceChildren(...shown.map((each) => each.slider.node));
  });
  function sort() {
    order = [...Array(codeSize).keys()];
    if (!all && $("code-order").value === "largest") order.sort((a, b) => Math.abs(state.inputCode[b]) - Math.abs(state.inputCode[a]));
    listing.first = 0;
    listing.show();
  }
  $("code-order").addEventListener("change", sort);
  // Sort by the code of the input, not by the current code, so that no slider jumps while it is moved.
  on("input", sort);
  on("code", () => {
    for (const { unit, slider } of shown) if (slider.value !== state.code[unit]) slider.value = state.code[unit];
  });
  const rounded = (code) => (manifest.code.integers ? code.map(Math.round) : code);
  $("code-mean").addEventListener("click", () => setCode(rounded(unitMean.slice())));
  $("code-random").addEventListener("click", () => {
    const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    const code = unitMean.slice();
    unitNumbers.forEach((unit, i) => (code[unit] += unitDeviation[i] * normal()));
    setCode(rounded(code));
  });
}
