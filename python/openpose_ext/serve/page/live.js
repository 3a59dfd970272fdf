import { counted, lines, show } from "./page.js";

const view = document.getElementById("view");
const state = document.getElementById("state");

try {
  for await (const line of lines(await fetch("live"))) {
    show(view, line);
    state.textContent = counted(line.frames, "frame", "frames");
  }
  state.textContent += ": the run has ended.";
} catch {
  state.textContent += " The run has ended, or was interrupted.";
  state.classList.add("failed");
}
