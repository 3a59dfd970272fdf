// Where the joints of one person go over a video, as two curves each: across and down.

import { element, shape } from "./elements.js";
import { called, spoken } from "./words.js";

const NARROWEST = 260; // CSS pixels
const HEIGHT = 150; // of each panel
const LEFT = 48;
const RIGHT = 8;
const GAP = 30;
const BEGIN = ["RWrist", "LWrist"]; // joints that are shown first
const MOST_POINTS = 1500; // of a curve: more than there are pixels

export class Plot {
  /** `go(place)` is called where somebody clicks on a frame. */
  constructor(clip, look, go) {
    this.clip = clip;
    this.look = look;
    this.go = go;
    this.id = null;
    this.joints = null; // places of the parts that are shown
    this.caption = element("figcaption");
    this.chart = element("div", { class: "chart" });
    this.choice = element("fieldset", { class: "chips" });
    this.element = element(
      "figure", { class: "plot", hidden: true }, this.caption, this.chart, this.choice,
    );
    this.width = 0; // of the chart, CSS pixels
    new ResizeObserver(() => {
      if (this.chart.clientWidth !== this.width && !this.element.hidden) this.draw();
    }).observe(this.chart);
    this.chart.addEventListener("click", (event) => this.clicked(event));
  }

  /** Show the person with this id, or nothing. */
  select(id) {
    this.id = id;
    this.element.hidden = id === null || !this.clip.hasIds;
    if (this.element.hidden) return;
    const { skeleton } = this.clip.person(this.clip.ids.get(id).first, id).layers[0];
    this.skeleton = this.look.skeletons[skeleton];
    if (!this.joints) this.offer();
    this.caption.textContent = `Where ${called({ id }).toLowerCase()} moves`;
    this.draw();
  }

  get wide() {
    return Math.max(this.width, NARROWEST);
  }

  offer() {
    const { parts } = this.skeleton;
    this.joints = new Set(BEGIN.map((part) => parts.indexOf(part)).filter((part) => part >= 0));
    if (!this.joints.size) this.joints.add(0);
    this.choice.replaceChildren(
      element("legend", { textContent: "Joints" }),
      ...parts.map((part, k) => this.chip(part, k)),
    );
  }

  chip(part, k) {
    const box = element("input", { type: "checkbox", checked: this.joints.has(k) });
    box.addEventListener("change", () => {
      if (box.checked) this.joints.add(k);
      else this.joints.delete(k);
      this.draw();
    });
    const swatch = element("i", { class: "swatch" });
    swatch.style.setProperty("--colour", ink(this.skeleton.colours[k]));
    return element("label", { class: "chip" }, box, swatch, spoken(part));
  }

  draw() {
    this.width = this.chart.clientWidth;
    const wide = this.wide;
    const whole = this.clip.frames.at(-1).time || 1;
    const across = (time) => LEFT + ((wide - LEFT - RIGHT) * time) / whole;
    const [width, height] = this.clip.size;
    const panels = [
      this.panel(0, "across", 0, width, across),
      this.panel(1, "down", 1, height, across),
    ];
    const down = 2 * HEIGHT + GAP;
    this.cursor = shape("line", { class: "cursor", y1: 0, y2: down - 20 });
    const ticks = [0, whole / 2, whole].map((time, k) => label(
      `${time.toFixed(1)} s`, across(time), down - 2, ["start", "middle", "end"][k],
    ));
    const names = [...this.joints].map((k) => spoken(this.skeleton.parts[k])).join(", ");
    this.svg = shape("svg", {
      viewBox: `0 0 ${wide} ${down}`,
      role: "img",
      "aria-label": `${this.caption.textContent}: ${names || "no joint is chosen"}, over `
        + `${whole.toFixed(1)} seconds`,
    }, ...panels, ...ticks, this.cursor);
    this.chart.replaceChildren(this.svg);
    this.across = across;
    this.at(this.place ?? 0);
  }

  panel(row, name, axis, largest, across) {
    const top = row * (HEIGHT + 8) + 6;
    const high = HEIGHT - 14;
    // Both axes as in the picture: 0 is left, and above.
    const down = axis
      ? (value) => top + (high * value) / largest
      : (value) => top + high - (high * value) / largest;
    const curves = [...this.joints].map((k) => shape("path", {
      d: this.curve(k, axis, across, down), stroke: ink(this.skeleton.colours[k]),
    }));
    return shape(
      "g", {},
      shape("rect", {
        class: "panel", x: LEFT, y: top, width: this.wide - LEFT - RIGHT, height: high,
      }),
      label(name, LEFT - 6, top + high / 2 + 4, "end"),
      label(String(largest), LEFT - 6, down(largest) + (axis ? 0 : 10), "end"),
      label("0", LEFT - 6, down(0) + (axis ? 10 : 0), "end"),
      ...curves,
    );
  }

  curve(part, axis, across, down) {
    const { frames } = this.clip;
    const step = Math.max(1, Math.floor(frames.length / MOST_POINTS));
    let path = "";
    let broken = true;
    for (let place = 0; place < frames.length; place += step) {
      const body = this.clip.person(place, this.id)?.layers[0];
      if (!body || !this.look.shows(body, part)) {
        broken = true;
        continue;
      }
      const x = across(frames[place].time).toFixed(1);
      path += `${broken ? "M" : "L"}${x} ${down(body.points[3 * part + axis]).toFixed(1)}`;
      if (broken) path += "h.01"; // a single frame is a dot
      broken = false;
    }
    return path;
  }

  /** Mark the frame that is seen. */
  at(place) {
    this.place = place;
    if (this.element.hidden || !this.cursor) return;
    const x = this.across(this.clip.frames[place]?.time ?? 0);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
  }

  clicked(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.wide;
    const share = Math.min(Math.max((x - LEFT) / (this.wide - LEFT - RIGHT), 0), 1);
    this.go(this.clip.at(share * this.clip.frames.at(-1).time));
  }
}

function label(text, x, y, anchor) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

/** The skeleton's colour, of a lightness that is seen on light and dark. */
function ink([red, green, blue]) {
  const light = (0.3 * red + 0.59 * green + 0.11 * blue) / 255;
  const by = light > 0.6 ? 0.6 / light : 1;
  const mixed = [red, green, blue].map((value) => Math.round(value * by + (light < 0.15 ? 70 : 0)));
  return `rgb(${mixed.map((value) => Math.min(value, 255)).join(" ")})`;
}
