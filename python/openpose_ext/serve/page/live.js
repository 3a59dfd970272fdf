// The page of `infer --display`.

import { lines } from "./lines.js";
import { preview } from "./preview.js";
import { counted } from "./words.js";

const view = document.getElementById("view");
const state = document.getElementById("state");

try {
  for await (const line of lines(await fetch("live"))) {
    preview(view, line);
    state.textContent = counted(line.frames, "frame", "frames");
  }
  state.textContent += ": the run has ended.";
} catch {
  state.textContent += " The run has ended, or was interrupted.";
  state.classList.add("failed");
}
