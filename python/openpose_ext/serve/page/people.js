// The list of people, one of whom can be selected, and the parts of that one.

import { element } from "./elements.js";
import { called, counted, score, spoken } from "./words.js";

const LEAST = 0.005; // the least score that is not 0.00
const OFTEN = 250; // milliseconds between two changes of the list while a video plays

export class PeopleList {
  /** `choose(key)`: a person's id, or place where there are no ids; null for nobody. */
  constructor(clip, look, choose) {
    this.clip = clip;
    this.look = look;
    this.choose = choose;
    this.selected = null;
    this.buttons = new Map();
    this.changed = 0;
    this.heading = element("h3");
    this.none = element("p", { class: "quiet", textContent: "Nobody was found here." });
    this.list = element("ul", { class: "people" });
    this.parts = element("div", {
      class: "parts", hidden: true, tabIndex: 0, role: "region", "aria-label": "Parts",
    });
    this.element = element(
      "div", { class: "who" }, this.heading, this.none, this.list, this.parts,
    );
  }

  /** Null for somebody without an id where others have one. */
  keyOf(person) {
    return person.id ?? person.place;
  }

  /** Show who is in a frame; of a video with ids, all people stay listed. */
  show(place, hurry = true) {
    const now = performance.now();
    this.place = place;
    clearTimeout(this.later);
    if (!hurry && now - this.changed < OFTEN) {
      this.later = setTimeout(() => this.show(this.place), OFTEN);
      return;
    }
    this.changed = now;
    const here = new Map(this.clip.frames[place]?.people.map((who) => [this.keyOf(who), who]));
    here.delete(null);
    const keys = this.clip.hasIds
      ? [...this.clip.ids.keys()].sort((a, b) => a - b)
      : [...here.keys()];
    this.heading.textContent = counted(keys.length, "person", "people");
    this.none.hidden = keys.length > 0;
    const items = keys.map((key) => this.item(key, here.get(key)));
    if (items.length !== this.list.children.length
        || items.some((item, k) => item !== this.list.children[k])) {
      this.list.replaceChildren(...items);
    }
    for (const key of this.buttons.keys()) if (!keys.includes(key)) this.buttons.delete(key);
    this.detail(here.get(this.selected));
  }

  select(key) {
    this.selected = key;
    this.show(this.place);
  }

  item(key, person) {
    let button = this.buttons.get(key);
    if (!button) {
      button = element("button", { type: "button" }, element("strong"), element("span"));
      button.addEventListener("click", () => this.choose(this.selected === key ? null : key));
      element("li", {}, button);
      this.buttons.set(key, button);
    }
    const [name, about] = button.children;
    name.textContent = called(person ?? { id: key });
    about.textContent = person ? this.summary(person) : "not in this frame";
    button.setAttribute("aria-pressed", String(key === this.selected));
    return button.parentElement;
  }

  summary(person) {
    const body = person.layers[0];
    if (!body) return "";
    const seen = this.look.parts(body).map((_, part) => part)
      .filter((part) => this.look.shows(body, part));
    const sum = seen.reduce((total, part) => total + body.points[3 * part + 2], 0);
    const mean = seen.length ? `, mean score ${score(sum / seen.length)}` : "";
    return counted(seen.length, "part", "parts") + mean;
  }

  detail(person) {
    this.parts.hidden = !person;
    if (!person) return;
    const rows = person.layers.filter((layer) => layer.kind === "body").flatMap((layer) =>
      this.look.parts(layer).map((part, k) => {
        const value = layer.points[3 * k + 2];
        return element(
          "tr", { class: this.look.shows(layer, k) ? "" : "quiet" },
          element("th", { scope: "row", textContent: spoken(part) }),
          element("td", {}, element("meter", {
            min: 0, max: 1, value, "aria-label": `score of ${spoken(part)}`,
          })),
          element("td", { textContent: value < LEAST ? "not seen" : score(value) }),
        );
      }));
    const others = person.layers.filter((layer) => layer.kind !== "body").map((layer) => {
      const seen = this.look.parts(layer).filter((_, part) => this.look.shows(layer, part)).length;
      return element(
        "tr", { class: seen ? "" : "quiet" },
        element("th", { scope: "row", textContent: layer.name }),
        element("td", { colSpan: 2, textContent: counted(seen, "point", "points") }),
      );
    });
    const caption = element("caption", { textContent: `Parts of ${called(person).toLowerCase()}` });
    this.parts.setAttribute("aria-label", caption.textContent);
    this.parts.replaceChildren(element(
      "table", {}, caption, element("tbody", {}, ...rows, ...others),
    ));
  }
}
