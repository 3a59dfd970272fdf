// What the browser remembers of this page, if it may.

/** What was remembered under a name, or `otherwise`. */
export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`openpose_ext.${name}`)) ?? otherwise;
  } catch {
    return otherwise; // storage is turned off, or somebody else wrote there
  }
}

/** Remember a value until the next visit. */
export function remember(name, value) {
  try {
    localStorage.setItem(`openpose_ext.${name}`, JSON.stringify(value));
  } catch {
    // Storage is turned off: the page works, and forgets.
  }
}
