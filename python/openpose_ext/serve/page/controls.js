// The options of what is looked for, as the server offers them; the browser remembers them.

import { element } from "./elements.js";
import { recall, remember } from "./remember.js";

const NETWORKS = [["body", "Body"], ["hand", "Hands"], ["face", "Faces"], ["foot", "Feet"]];
const SWITCHES = [
  ["refine", "Look again, closer, where people are"],
  ["identification", "Give people ids across the frames of a video"],
  ["smooth", "Smooth the motion and fill short gaps (needs ids)"],
  ["disable_blending", "Draw skeletons on black in the downloads"],
];
const HEIGHT_STEP = 16; // pixels
const OURS = { identification: true }; // without ids nobody can be followed in a video

export class Controls {
  /** `offer`: the answer of api/options; the form is filled with its controls. */
  constructor(form, summary, { networks, defaults, ranges }) {
    this.summary = summary;
    this.networks = networks;
    this.ranges = ranges;
    this.begin = { ...defaults, ...OURS };
    this.values = { ...this.begin, ...this.stillRight(recall("options", {})) };
    this.inputs = new Map();
    const reset = element("button", {
      type: "button", class: "button", textContent: "Use the defaults",
    });
    reset.addEventListener("click", () => this.set(this.begin));
    form.replaceChildren(
      element("div", { class: "fields" }, ...this.selects(), this.height(), this.threshold()),
      element("div", { class: "switches" }, ...SWITCHES.map((one) => this.switch(...one))),
      reset,
    );
    form.addEventListener("submit", (event) => event.preventDefault());
    this.show();
  }

  /** What is chosen, as the server's queries have it. */
  get chosen() {
    const asked = { ...this.values };
    for (const [name, value] of Object.entries(asked)) {
      if (typeof value === "boolean") asked[name] = value ? 1 : 0;
    }
    return asked;
  }

  /** Of what was remembered, all that this server takes. */
  stillRight(remembered) {
    return Object.fromEntries(Object.entries(remembered).filter(([name, value]) => {
      if (name in this.networks) return this.networks[name].includes(value);
      if (name in this.ranges) return this.within(name, value);
      return typeof value === "boolean" && typeof this.begin[name] === "boolean";
    }));
  }

  within(name, value) {
    const [low, high] = this.ranges[name];
    return typeof value === "number" && value >= low && value <= high;
  }

  selects() {
    return NETWORKS.filter(([kind]) => this.networks[kind].length > 1).map(([kind, label]) => {
      const names = this.networks[kind].map((name) => element("option", {
        value: name, textContent: name === "none" ? "do not look for them" : name,
      }));
      const input = element("select", { id: `option-${kind}` }, ...names);
      return this.field(kind, label, input, () => input.value);
    });
  }

  height() {
    const [min, max] = this.ranges.height;
    const input = element("input", {
      type: "number", id: "option-height", min, max, step: HEIGHT_STEP, required: true,
    });
    return this.field("height", "Network height in pixels", input, () => {
      const value = Math.round(Number(input.value));
      return this.within("height", value) ? value : this.begin.height;
    });
  }

  threshold() {
    const input = element("input", {
      type: "range", id: "option-threshold", min: 0, max: 0.95, step: 0.05,
    });
    return this.field("render_threshold", "Least score of what is drawn", input,
      () => Number(input.value));
  }

  field(name, label, input, read) {
    this.listen(name, input, read, "value");
    return element("label", { class: "field" }, element("span", { textContent: label }), input);
  }

  switch(name, label) {
    const input = element("input", { type: "checkbox", id: `option-${name}` });
    this.listen(name, input, () => input.checked, "checked");
    return element("label", { class: "switch" }, input, element("span", { textContent: label }));
  }

  listen(name, input, read, property) {
    this.inputs.set(name, { input, property });
    input.addEventListener("change", () => this.set({ ...this.values, [name]: read() }));
  }

  set(values) {
    this.values = { ...values };
    remember("options", this.values);
    this.show();
  }

  show() {
    for (const [name, { input, property }] of this.inputs) input[property] = this.values[name];
    const ids = this.inputs.get("identification").input;
    ids.disabled = this.values.smooth; // smoothing follows people
    ids.checked ||= this.values.smooth;
    const threshold = this.inputs.get("render_threshold").input;
    threshold.setAttribute("aria-valuetext", this.values.render_threshold.toFixed(2));
    this.summary.textContent = this.inWords();
  }

  inWords() {
    const { body, height, refine, identification, smooth } = this.values;
    const others = NETWORKS.slice(1)
      .filter(([kind]) => this.values[kind] !== "none")
      .map(([, label]) => label.toLowerCase());
    return [
      body, `${height} px`, ...others, ...(refine ? ["closer looks"] : []),
      ...(smooth ? ["ids and smoothing"] : identification ? ["ids"] : []),
    ].join(", ");
  }
}
