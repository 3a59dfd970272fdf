// The result of an upload: the picture or video, its people drawn over it, and all about them.

import { linesOf } from "./api.js";
import { Clip } from "./clip.js";
import { element } from "./elements.js";
import { PeopleList } from "./people.js";
import { Player } from "./player.js";
import { Plot } from "./plot.js";
import { Look } from "./skeletons.js";
import { Stage } from "./stage.js";
import { View } from "./view.js";
import { people } from "./words.js";

export class Result {
  /** `line`: the last one of the server; `options`: what was asked for. */
  constructor(name, line, options, skeletons) {
    this.name = name;
    this.files = line.files;
    this.last = line.frame;
    this.place = 0;
    this.stop = new AbortController();
    this.clip = new Clip();
    this.look = lookOf(options, skeletons);
    this.stage = new Stage(this.look, (person) => {
      this.select(person && this.list.keyOf(person));
    });
    this.list = new PeopleList(this.clip, this.look, (key) => {
      this.select(key);
      // Who is not in this frame is looked for in the first one that has them.
      const seen = this.clip.ids.get(key);
      if (seen && !this.clip.person(this.place, key)) this.player.go(seen.first);
    });
    this.plot = new Plot(this.clip, this.look, (place) => this.player.go(place));
    this.said = element("p", { class: "quiet", role: "status" });
    this.element = element("div", { class: "result" }, this.said);
  }

  /** Load what is shown; rejects with a `Problem`. */
  async load() {
    const isVideo = "video" in this.files;
    if (isVideo) {
      this.said.textContent = "loading all frames";
      for await (const line of linesOf(this.files.jsonl, this.stop.signal)) this.clip.add(line);
    } else {
      this.clip.add(this.last);
    }
    this.clip.settle();
    const address = this.files.plain ?? this.files.video ?? this.files.images;
    if (isVideo) this.video(address);
    else this.stage.set(element("img", { src: address, alt: "" }));
    this.view = new View(this.look, this.stage, () => this.refresh());
    this.said.remove();
    this.element.append(
      this.stage.element, ...(isVideo ? [this.player.element] : []),
      this.view.element, this.list.element, this.plot.element,
      ...(isVideo && !this.clip.hasIds ? [hint()] : []),
    );
    this.see(0);
  }

  close() {
    this.stop.abort();
  }

  video(address) {
    const video = element("video", {
      src: address, preload: "auto", playsInline: true, "aria-hidden": "true",
    });
    video.addEventListener("error", () => {
      this.said.textContent =
        "This browser cannot play the video; its people are shown. Download it to play it.";
      this.element.prepend(this.said);
    });
    this.stage.set(video);
    this.player = new Player(video, this.clip, this.name, (place) => this.see(place));
  }

  see(place) {
    if (place !== this.place && !this.clip.hasIds) this.select(null);
    this.place = place;
    const frame = this.clip.frames[place];
    if (!frame) return;
    this.stage.show(frame.people, this.clip.size);
    this.stage.canvas.setAttribute(
      "aria-label", `${people(frame.people.length)} in ${this.name}`,
    );
    this.list.show(place, !this.player || this.player.video.paused);
    this.plot.at(place);
  }

  /** Select a person by the list's key; null for nobody. */
  select(key) {
    const id = this.clip.hasIds ? key : null;
    this.stage.selected = key === null ? null : (person) => this.list.keyOf(person) === key;
    this.stage.draw();
    this.list.select(key);
    if (this.player) this.plot.select(id);
  }

  refresh() {
    if (!this.clip.frames.length) return;
    this.list.show(this.place);
    if (!this.plot.element.hidden) this.plot.draw();
  }
}

/** How people are drawn first, given what was asked for. */
export function lookOf(options, skeletons) {
  const floors = {
    hand: Number(options.hand_render_threshold),
    face: Number(options.face_render_threshold),
  };
  return new Look(skeletons, floors, Number(options.render_threshold));
}

function hint() {
  return element("p", {
    class: "quiet",
    textContent: "To follow one person, choose ids in the options and add the video again.",
  });
}
