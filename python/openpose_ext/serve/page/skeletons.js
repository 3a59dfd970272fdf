// Draws people on a canvas by the rules of the package's own drawings (OpenPose's).

// Thickness for a person who fills the picture, as a share of sqrt(width x height), and of lines.
const STYLES = {
  body: { share: 1 / 75, line: 0.75 },
  hand: { share: 1 / 50, line: 0.75 },
  face: { share: 1 / 75, line: 0.334 },
};
const THINNEST = 2;
const FULL_DISCS = 0.05; // people smaller than this share of the picture get smaller discs
const FADED = 0.2; // opacity of those who are not selected
const FILLED = 0.05; // parts up to this score were filled in, not seen

/**
 * What is drawn of people. `skeletons`: name -> {parts, limbs, colours}; `floors`: kind -> the
 * least threshold of its points; `threshold`: parts that score above it are drawn.
 */
export class Look {
  constructor(skeletons, floors, threshold) {
    this.skeletons = skeletons;
    this.floors = floors;
    this.threshold = threshold;
    this.on = true;
  }

  /** Whether a point is drawn. */
  shows(layer, part) {
    const score = layer.points[3 * part + 2];
    return score > 0 && score > Math.max(this.threshold, this.floors[layer.kind] ?? 0);
  }

  parts(layer) {
    return this.skeletons[layer.skeleton].parts;
  }
}

/** Draw people; the context's unit is a pixel of the picture of `size`. */
export function drawPeople(context, people, size, look, selected = null) {
  if (!look.on) return;
  for (const person of people) {
    context.globalAlpha = selected && !selected(person) ? FADED : 1;
    for (const layer of person.layers) drawLayer(context, layer, size, look);
  }
  context.globalAlpha = 1;
}

function drawLayer(context, layer, [width, height], look) {
  const { limbs, colours, parts } = look.skeletons[layer.skeleton];
  const { share, line } = STYLES[layer.kind];
  const shown = parts.map((_, part) => look.shows(layer, part));
  const box = bounds(layer.points, shown);
  if (!box) return;
  const extent = Math.min(1, Math.max((box[2] - box[0]) / width, (box[3] - box[1]) / height));
  const thickness = Math.max(Math.round(Math.sqrt(width * height) * share * extent), THINNEST);
  const radius = Math.floor(thickness / 2) + (extent > FULL_DISCS ? thickness / 2 : 0);
  const at = (part) => [layer.points[3 * part] + 0.5, layer.points[3 * part + 1] + 0.5];
  context.lineWidth = Math.max(1, Math.round(line * thickness));
  context.lineCap = "round";
  for (const [a, b] of limbs) {
    if (!shown[a] || !shown[b]) continue;
    context.strokeStyle = colour(colours[b]);
    context.beginPath();
    context.moveTo(...at(a));
    context.lineTo(...at(b));
    context.stroke();
  }
  for (const part of shown.keys()) {
    if (!shown[part]) continue;
    context.fillStyle = colour(colours[part]);
    context.beginPath();
    context.arc(...at(part), radius, 0, 2 * Math.PI);
    context.fill();
    if (layer.points[3 * part + 2] > FILLED) continue;
    context.fillStyle = "#000"; // filled in, not seen: a ring
    context.beginPath();
    context.arc(...at(part), radius / 2, 0, 2 * Math.PI);
    context.fill();
  }
}

/** The names above people's heads, `unit` pixels of the picture high. */
export function drawNames(context, people, look, nameOf, unit, selected = null) {
  if (!look.on) return;
  context.font = `600 ${unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.lineJoin = "round";
  context.lineWidth = unit / 4;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  for (const person of people) {
    const body = person.layers[0];
    const box = body && bounds(body.points, look.parts(body).map((_, k) => look.shows(body, k)));
    if (!box) continue;
    context.globalAlpha = selected && !selected(person) ? FADED : 1;
    const at = [(box[0] + box[2]) / 2, Math.max(box[1] - 0.4 * unit, unit)];
    context.strokeText(nameOf(person), ...at);
    context.fillText(nameOf(person), ...at);
  }
  context.globalAlpha = 1;
}

/** The drawn point that is nearest, within `reach`: {person, layer, part, score}, or null. */
export function nearest(people, look, x, y, reach) {
  let found = null;
  let least = reach;
  for (const person of people) {
    for (const layer of person.layers) {
      for (let part = 0; 3 * part < layer.points.length; part += 1) {
        if (!look.shows(layer, part)) continue;
        const [px, py, score] = layer.points.subarray(3 * part, 3 * part + 3);
        const distance = Math.hypot(px - x, py - y);
        if (distance < least) {
          least = distance;
          found = { person, layer, part, score };
        }
      }
    }
  }
  return found;
}

function bounds(points, shown) {
  let box = null;
  shown.forEach((is, part) => {
    if (!is) return;
    const [x, y] = points.subarray(3 * part, 3 * part + 2);
    box ??= [x, y, x, y];
    box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
  });
  return box;
}

function colour([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}
