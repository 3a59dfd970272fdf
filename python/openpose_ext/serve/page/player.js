// Plays a video, and tells which frame is seen, so that what is drawn over it is in step.

import { element } from "./elements.js";
import { clock } from "./words.js";

export class Player {
  /** `seen(place)` is called whenever another frame is seen. */
  constructor(video, clip, name, seen) {
    this.video = video;
    this.clip = clip;
    this.seen = seen;
    this.place = 0;
    this.play = button("Play", "play", () => this.toggle());
    this.back = button("Previous frame", "back", () => this.go(this.place - 1));
    this.on = button("Next frame", "on", () => this.go(this.place + 1));
    this.scrub = element("input", {
      type: "range",
      min: 0,
      max: Math.max(clip.frames.length - 1, 0),
      value: 0,
      "aria-label": `Frame of ${name}`,
    });
    this.time = element("span", { class: "time" });
    this.element = element(
      "div",
      { class: "player", role: "group", "aria-label": `Playing ${name}` },
      this.play, this.back, this.on, this.scrub, this.time,
    );
    this.scrub.addEventListener("input", () => this.go(Number(this.scrub.value)));
    for (const event of ["play", "pause"]) video.addEventListener(event, () => this.label());
    video.addEventListener("pause", () => this.settle());
    video.addEventListener("seeked", () => this.tell(video.currentTime));
    this.watch();
    this.report();
  }

  toggle() {
    if (!this.video.paused) this.video.pause();
    else this.video.play().catch(() => {}); // a video that is broken has said so
  }

  /** Stop at a frame. */
  go(place) {
    this.video.pause();
    const last = this.clip.frames.length - 1;
    this.place = Math.min(Math.max(place, 0), last);
    this.report();
    if (this.video.readyState === 0) this.seen(this.place); // nothing is seen; draw by itself
    else this.video.currentTime = this.clip.within(this.place);
  }

  /** Browsers may show a frame before its time, and leave out to tell of the last before a pause. */
  settle() {
    if (this.video.seeking) return; // "seeked" comes
    const time = this.video.currentTime;
    if (this.video.ended) this.tell(time);
    else this.go(Math.max(this.place, this.clip.at(time)));
  }

  watch() {
    if (!this.video.requestVideoFrameCallback) {
      this.video.addEventListener("timeupdate", () => this.tell(this.video.currentTime));
      return;
    }
    const next = () => this.video.requestVideoFrameCallback((_, frame) => {
      this.tell(frame.mediaTime);
      next();
    });
    next();
  }

  tell(time) {
    if (this.video.seeking) return; // news of the frame before; "seeked" comes
    this.place = this.clip.at(time);
    this.report();
    this.seen(this.place);
  }

  report() {
    const { frames } = this.clip;
    const { time = 0, number = 0 } = frames[this.place] ?? {};
    const whole = frames.at(-1)?.time ?? 0;
    this.scrub.value = this.place;
    this.scrub.setAttribute("aria-valuetext", `frame ${number}, ${time.toFixed(2)} seconds`);
    this.time.textContent = `${clock(time)} / ${clock(whole)}`;
    this.back.disabled = this.place <= 0;
    this.on.disabled = this.place >= frames.length - 1;
  }

  label() {
    const does = this.video.paused ? "Play" : "Pause";
    this.play.setAttribute("aria-label", does);
    this.play.title = does;
    this.play.classList.toggle("pause", !this.video.paused);
  }
}

function button(label, kind, act) {
  const made = element("button", {
    type: "button", class: `icon ${kind}`, "aria-label": label, title: label,
  });
  made.addEventListener("click", act);
  return made;
}
