"use strict";
// Anomaly scores and a threshold.

async function startScores() {
  if (!has("scores")) return;
  $("scores").hidden = false;
  const scores = await array("scores", Float32Array);
  const sorted = Float32Array.from(scores).sort();
  const n = sorted.length;
  $("scores-about").textContent =
    "The higher the score of a sample, the more anomalous it is to the model. Samples above the threshold are flagged. If the samples on this page are normal, the initial threshold flags about 5 % of normal samples (split conformal prediction, as in aezoo.sklearn.AnomalyDetector).";
  const [low, high] = [sorted[0], sorted[n - 1] > sorted[0] ? sorted[n - 1] : sorted[0] + 1];
  const start = sorted[Math.min(Math.ceil((n + 1) * 0.95 - 1e-9), n) - 1];
  const bins = 40;
  const counts = new Array(bins).fill(0);
  for (const value of scores) counts[Math.min(bins - 1, Math.floor((bins * (value - low)) / (high - low)))] += 1;
  const threshold = slider({ label: "Threshold", low, high, step: "any", value: start, take: () => show() });
  $("scores-threshold").append(threshold.node);
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  showThumbnails($("scores-highest"), order.slice(0, 16));

  function show() {
    const at = threshold.value;
    const flagged = scores.reduce((count, value) => count + (value > at), 0);
    $("scores-flagged").textContent = `${flagged.toLocaleString("en")} of ${n.toLocaleString("en")} samples (${((100 * flagged) / n).toFixed(1)} %) score above ${written(at)}.`;
    const lines = [{ value: at, style: "ink", label: "threshold" }];
    if (state.score !== null) lines.push({ value: clamp(state.score, low, high), style: "accent", label: "input" });
    const step = (high - low) / bins;
    drawHistogram($("scores-histogram"), counts, low, high, "score", (i) => low + (i + 0.5) * step > at, lines);
    if (state.score === null) return;
    const verdict = state.score > at ? "flagged" : "not flagged";
    const higher = scores.reduce((count, value) => count + (value > state.score), 0);
    $("scores-input").textContent = `The input scores ${written(state.score)}: ${verdict}. ${((100 * higher) / n).toFixed(1)} % of the samples score higher.`;
  }
  on("input", show);
  whenSized($("scores-histogram"), show);
}
