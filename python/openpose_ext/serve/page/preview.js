// Shows the newest drawn frame while a run goes on.

import { people } from "./words.js";

/** Show the picture of a line, if it has one. */
export function preview(view, line) {
  if (!line.picture) return;
  view.hidden = false;
  let picture = view.querySelector("img");
  if (!picture) {
    picture = document.createElement("img");
    view.replaceChildren(picture);
  }
  picture.src = `data:image/jpeg;base64,${line.picture}`;
  picture.alt = line.frame ? `${people(line.frame.people.length)} found` : "the newest frame";
}
