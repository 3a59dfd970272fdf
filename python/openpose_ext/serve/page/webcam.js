// The people in front of the webcam: one picture at a time is looked at, always the newest.

import { pause } from "./api.js";
import { element } from "./elements.js";
import { Stage } from "./stage.js";
import { View } from "./view.js";
import { people } from "./words.js";

const WISH = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
const WINDOW = 3000; // milliseconds over which the rate is measured

const REASONS = {
  NotAllowedError: "The browser does not let this page use the camera. Allow it, beside the "
    + "address of the page, then start the webcam again.",
  NotFoundError: "No camera was found. Connect one, then start the webcam again.",
  NotReadableError: "Another program is using the camera. Close it, then start the webcam again.",
};
const NOT_HERE = "Browsers give the camera only to pages from this machine or over HTTPS. "
  + "Open the page on the machine of the server, at http://127.0.0.1 and its port.";

export class Webcam {
  /**
   * `lookNow()`: how people are to be drawn, asked at each start. `find(canvas, signal)` resolves to
   * {people, size}, or to null where there is nothing to show; where it rejects with an error that
   * has `after`, it is called again after so many seconds.
   */
  constructor(panel, button, lookNow, find) {
    Object.assign(this, { panel, button, lookNow, find });
    this.stop = null;
    this.state = element("p", { class: "state", role: "status" });
    this.rate = element("p", { class: "quiet rate" });
    panel.append(this.state);
    button.addEventListener("click", () => (this.stop ? this.end() : this.start()));
  }

  async start() {
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.label();
    this.panel.hidden = false;
    this.say("The browser asks whether this page may use the camera.");
    try {
      const stream = await this.camera();
      signal.addEventListener("abort", () => stream.getTracks().forEach((track) => track.stop()));
      if (signal.aborted) return;
      stream.getTracks().forEach((track) => track.addEventListener("ended", () => this.end(
        "The camera was disconnected. Connect it, then start the webcam again.",
      )));
      await this.run(stream, signal);
    } catch (error) {
      if (!signal.aborted) this.end(error.message);
    }
  }

  async camera() {
    if (!navigator.mediaDevices) throw new Error(NOT_HERE);
    try {
      return await navigator.mediaDevices.getUserMedia({ video: WISH });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera cannot be used: ${error.message}.`);
    }
  }

  /** Stop; `reason`: why, if that was not the visitor's wish. */
  end(reason = "") {
    this.stop?.abort();
    this.stop = null;
    this.panel.hidden = !reason;
    this.panel.replaceChildren(this.state);
    this.say(reason);
    this.state.classList.toggle("failed", Boolean(reason));
    this.label();
  }

  label() {
    this.button.textContent = this.stop ? "Stop the webcam" : "Use the webcam";
  }

  say(sentence) {
    this.state.classList.remove("failed");
    if (this.state.textContent !== sentence) this.state.textContent = sentence;
  }

  async run(stream, signal) {
    const video = element("video", { srcObject: stream, muted: true, playsInline: true });
    await video.play();
    const newest = element("canvas");
    const stage = new Stage(this.lookNow());
    stage.set(element("canvas"));
    const view = new View(stage.look, stage, () => {});
    this.panel.replaceChildren(this.state, stage.element, this.rate, view.element);
    const times = [];
    while (!signal.aborted) {
      const begun = performance.now();
      take(video, newest);
      const found = await this.found(newest, signal);
      if (!found || signal.aborted) continue;
      // What is shown is the picture that was looked at, so that people and picture are in step.
      take(newest, stage.medium);
      stage.show(found.people, found.size);
      stage.canvas.setAttribute("aria-label", `Webcam: ${people(found.people.length)}`);
      this.say(people(found.people.length));
      const now = performance.now();
      times.push(now);
      while (times[0] < now - WINDOW) times.shift();
      this.tellRate(times, now - begun);
    }
  }

  async found(picture, signal) {
    try {
      return await this.find(picture, signal);
    } catch (error) {
      if (signal.aborted || !error.after) throw error;
      this.say(error.message);
      await pause(error.after, signal);
      return null;
    }
  }

  tellRate(times, took) {
    if (times.length < 2) return;
    const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
    this.rate.textContent = `${rate.toFixed(1)} frames a second, each ${Math.round(took)} ms after `
      + "it was taken";
  }
}

/** Copy the picture that a video or canvas shows now. */
function take(from, canvas) {
  const width = from.videoWidth ?? from.width;
  const height = from.videoHeight ?? from.height;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(from, 0, 0);
}
