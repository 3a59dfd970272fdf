// The links to the files of a result.

import { element } from "./elements.js";

const LABELS = {
  images: "Picture",
  video: "Video",
  plain: "Without skeletons",
  json: "JSON",
  jsonl: "JSON lines",
  csv: "CSV",
  zip: "Everything (ZIP)",
};

/** `files`: addresses by kind. */
export function downloads(files, name) {
  const links = Object.keys(LABELS).filter((kind) => kind in files).map((kind) =>
    element("a", {
      class: "button", href: files[kind], download: "", textContent: LABELS[kind],
    }));
  return element("nav", { class: "files", "aria-label": `Downloads of ${name}` }, ...links);
}
