"use strict";
// Controls that several panels share.

let sliders = 0;

/** Make a slider with a label and its value; `take` is called with each value that the user sets. */
function slider({ label, low, high, step, value, take, text = written }) {
  const id = `slider-${(sliders += 1)}`;
  const input = element("input", { type: "range", id, min: low, max: high, step });
  const output = element("output", { for: id });
  const node = element("div", { className: "slider" }, element("label", { htmlFor: id }, label), input, output);
  let current = value; // unrounded: the element keeps fewer digits
  const show = () => {
    output.textContent = text(current);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    current = Number(input.value);
    show();
    take(current);
  });
  const made = {
    node,
    input,
    get value() {
      return current;
    },
    /** Show a value that was set elsewhere, even outside the range. */
    set value(given) {
      if (given < Number(input.min)) input.min = given;
      if (given > Number(input.max)) input.max = given;
      input.value = current = given;
      show();
    },
    set range([from, to]) {
      [input.min, input.max] = [from, to];
    },
  };
  made.value = value;
  return made;
}

/** Return the value of a unit as text. */
const unitValue = (value) => (manifest.code.integers ? String(Math.round(value)) : written(value));

/** Return the range of a unit's slider: the range over the samples, extended by a quarter on either side. */
function unitRange(unit) {
  const [low, high] = [Math.min(0, unitLow[unit]), Math.max(0, unitHigh[unit])];
  const room = 0.25 * (high - low) || 1;
  if (manifest.code.integers) return { low: Math.floor(low - room), high: Math.ceil(high + room), step: 1 };
  return { low: low - room, high: high + room, step: "any" };
}

/** Fill a select with [value, text] pairs. */
function options(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
}

/** Handle "Previous" and "Next" of a list that is shown in pages. */
function pages(previous, next, size, count, show) {
  const made = {
    first: 0,
    move(by) {
      made.first = clamp(made.first + by * size, 0, Math.max(0, (Math.ceil(count() / size) - 1) * size));
      made.show();
    },
    show() {
      previous.disabled = made.first === 0;
      next.disabled = made.first + size >= count();
      show(made.first, Math.min(made.first + size, count()));
    },
  };
  previous.addEventListener("click", () => made.move(-1));
  next.addEventListener("click", () => made.move(1));
  return made;
}
