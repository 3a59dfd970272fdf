// A picture with the people drawn over it; tells what the pointer is on, and takes clicks.

import { element } from "./elements.js";
import { drawNames, drawPeople, nearest } from "./skeletons.js";
import { called, score, spoken } from "./words.js";

const REACH = 14; // CSS pixels between the pointer and what it is on
const CLICK_REACH = 40; // and the person it selects
const LETTERS = 15; // CSS pixels of the names above people

export class Stage {
  /** `choose(person)` is called when a person is clicked, `choose(null)` beside all people. */
  constructor(look, choose = () => {}) {
    this.look = look;
    this.people = [];
    this.size = [1, 1];
    this.selected = null; // person -> whether it is selected; null: nobody is
    this.named = false;
    this.canvas = element("canvas", { role: "img" });
    this.tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.element = element("div", { class: "stage" }, this.canvas, this.tip);
    this.medium = null;
    this.black = false;
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.element.addEventListener("pointermove", (event) => this.point(event));
    this.element.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.element.addEventListener("click", (event) => {
      this.point(event);
      choose(this.under(event, CLICK_REACH)?.person ?? null);
    });
  }

  /** Put an image, a video or a canvas below the people. */
  set(medium) {
    this.medium?.remove();
    this.medium = medium;
    if (medium) this.element.prepend(medium);
    this.background(this.black);
  }

  /** Show the medium, or black in its place. */
  background(black) {
    this.black = black;
    this.element.classList.toggle("black", black);
  }

  show(people, size) {
    this.people = people;
    if (size[0] !== this.size[0] || size[1] !== this.size[1]) {
      this.size = size;
      this.element.style.setProperty("--ratio", size[0] / size[1]);
      this.element.style.setProperty("--width", size[0]);
    }
    this.draw();
  }

  draw() {
    const box = this.element.getBoundingClientRect();
    if (!box.width) return;
    const density = Math.min(devicePixelRatio, 2);
    const width = Math.round(box.width * density);
    const height = Math.round(box.height * density);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(width / this.size[0], 0, 0, height / this.size[1], 0, 0);
    drawPeople(context, this.people, this.size, this.look, this.selected);
    if (this.named) {
      const unit = (LETTERS * this.size[0]) / box.width;
      const nameOf = ({ id, place }) => String(id ?? (place === null ? "" : place + 1));
      drawNames(context, this.people, this.look, nameOf, unit, this.selected);
    }
  }

  under(event, reach) {
    if (!this.look.on) return null;
    const box = this.element.getBoundingClientRect();
    const scale = this.size[0] / box.width;
    const x = (event.clientX - box.left) * scale - 0.5;
    const y = (event.clientY - box.top) * scale - 0.5;
    return nearest(this.people, this.look, x, y, reach * scale);
  }

  point(event) {
    const found = this.under(event, REACH);
    this.tip.hidden = !found;
    this.element.classList.toggle("pointing", Boolean(found));
    if (!found) return;
    const { person, layer, part } = found;
    const name = spoken(this.look.parts(layer)[part]);
    const whole = layer.name && !name.startsWith(layer.name) ? `${layer.name}, ${name}` : name;
    this.tip.replaceChildren(
      element("strong", { textContent: whole }),
      ` ${score(found.score)}`,
      element("small", { textContent: called(person) }),
    );
    const [x, y] = layer.points.subarray(3 * part, 3 * part + 2);
    this.tip.style.left = `${(100 * x) / this.size[0]}%`;
    this.tip.style.top = `${(100 * y) / this.size[1]}%`;
    this.tip.classList.toggle("left", x > this.size[0] / 2);
    this.tip.classList.toggle("below", y < this.size[1] / 4);
  }
}
