"use strict";
// Access to the data of the page, and helpers for all panels. The scripts of this folder are joined into one, in the
// order of `SCRIPTS` in document.py, because a page opened from disk may not load modules.

const $ = (id) => document.getElementById(id);

const manifest = JSON.parse($("data-manifest").textContent);

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function inflated(bytes, format) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const has = (name) => $(`data-${name}`) !== null;

/** Return the bytes stored in the page under a name, and free their text. */
async function blob(name) {
  const element = $(`data-${name}`);
  const bytes = await inflated(fromBase64(element.textContent), "gzip");
  element.textContent = "";
  return bytes;
}

async function array(name, Type) {
  return new Type((await blob(name)).buffer);
}

/** Create an element; properties that are functions become listeners of events. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Return a number as text with four digits, and without an exponent if possible. */
function written(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return value.toFixed(size >= 1000 ? 1 : size >= 100 ? 2 : size >= 10 ? 3 : 4);
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

let waiting = 0;

/** Wrap a function so that, of the calls during a run, only the newest runs next: sliders outpace networks. */
function latest(work) {
  let running = null;
  let next = null;
  return function call(...values) {
    if (running) {
      next = values;
      return running;
    }
    waiting += 1;
    running = (async () => {
      try {
        let now = values;
        while (now) {
          next = null;
          await work(...now);
          now = next;
        }
      } finally {
        running = null;
        waiting -= 1;
      }
    })();
    return running;
  };
}

/** Resolve once no network is running or waiting to run. */
async function idle() {
  do await new Promise((resolve) => setTimeout(resolve, 5));
  while (waiting || pending);
}

function report(error) {
  $("status").textContent = `Something went wrong: ${error.message || error}`;
  $("status").classList.add("note");
  $("status").hidden = false;
}

addEventListener("error", (event) => report(event.error || event));
addEventListener("unhandledrejection", (event) => report(event.reason));
