// Makes elements of the page.

/** An element with these properties ("class", "aria-..." and "data-..." are attributes). */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for drawings; all their properties are attributes. */
export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function filled(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class" || key === "for" || key === "role" || key.includes("-")) {
      made.setAttribute(key, value);
    } else {
      made[key] = value;
    }
  }
  made.append(...children);
  return made;
}
