// Numbers and names as people read them.

export function counted(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}

export function people(number) {
  return counted(number, "person", "people");
}

/** "RShoulder" is "right shoulder", "ThumbCMC" "thumb CMC", "Jaw3" "jaw 3". */
export function spoken(part) {
  const sides = { R: "right ", L: "left " };
  const side = /^[RL](?=[A-Z])/.test(part) ? part[0] : "";
  const words = part.slice(side.length).match(/[A-Z][a-z]+|[A-Z]+(?![a-z])|\d+/g) ?? [part];
  const plain = words.map((word) => (/^[A-Z]{2,}$/.test(word) ? word : word.toLowerCase()));
  return (sides[side] ?? "") + plain.join(" ");
}

/** Seconds as 0:04.20. */
export function clock(seconds) {
  const rest = (seconds % 60).toFixed(2).padStart(5, "0");
  return `${Math.floor(seconds / 60)}:${rest}`;
}

export function score(value) {
  return value.toFixed(2);
}

export function called(person) {
  if (person.place === null) return "Person without an id";
  return person.id === null ? `Person ${person.place + 1}` : `Person ${person.id}`;
}
