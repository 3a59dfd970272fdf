// How people are drawn over a picture: switches and a threshold that need no new run.

import { element } from "./elements.js";
import { recall, remember } from "./remember.js";
import { score } from "./words.js";

const BEGIN = { skeletons: true, names: true, black: false };

export class View {
  /** `changed()` is called after each change of `look` or `stage`. */
  constructor(look, stage, changed) {
    this.look = look;
    this.stage = stage;
    this.changed = changed;
    this.values = { ...BEGIN, ...recall("view", {}) };
    this.output = element("output");
    this.slider = element("input", {
      type: "range", min: 0, max: 0.95, step: 0.01, value: look.threshold,
    });
    this.slider.addEventListener("input", () => this.apply());
    this.element = element(
      "fieldset", { class: "switches look" },
      element("legend", { class: "unseen", textContent: "What is shown" }),
      this.switch("skeletons", "Skeletons"),
      this.switch("names", "Numbers"),
      this.switch("black", "On black"),
      element(
        "label", { class: "threshold" },
        element("span", { textContent: "Threshold" }), this.slider, this.output,
      ),
    );
    this.apply();
  }

  switch(name, label) {
    const input = element("input", { type: "checkbox", checked: this.values[name] });
    input.addEventListener("change", () => {
      this.values[name] = input.checked;
      remember("view", this.values);
      this.apply();
    });
    return element("label", { class: "switch" }, input, element("span", { textContent: label }));
  }

  apply() {
    this.look.on = this.values.skeletons;
    this.look.threshold = Number(this.slider.value);
    this.output.textContent = score(this.look.threshold);
    this.stage.named = this.values.names;
    this.stage.background(this.values.black);
    this.stage.draw();
    this.changed();
  }
}
