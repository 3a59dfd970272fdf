// The people of a result, frame by frame; a picture is a clip of one frame.

const LAYERS = [
  // where in a person's JSON, which kind of points, which skeleton (null: the frame's), its name
  ["pose_keypoints_2d", "body", null, ""],
  ["hand_left_keypoints_2d", "hand", "hand_21", "left hand"],
  ["hand_right_keypoints_2d", "hand", "hand_21", "right hand"],
  ["face_keypoints_2d", "face", "face_70", "face"],
];

/**
 * The people of one line of the server:
 * {id, place, layers: [{kind, skeleton, name, points}]}, points x, y, score in turn, in pixels of
 * the picture. `id` is null where people have none; `place` counts them within the frame, and is
 * null for those without an id in a clip where others have one.
 */
export function peopleIn(line) {
  return line.people.map((person, place) => ({
    id: person.person_id[0] < 0 ? null : person.person_id[0],
    place,
    layers: LAYERS.filter(([key]) => person[key].length).map(([key, kind, skeleton, name]) => ({
      kind,
      skeleton: skeleton ?? line.topology,
      name,
      points: Float32Array.from(person[key]),
    })),
  }));
}

export class Clip {
  constructor() {
    this.frames = []; // {people, number, time}; time in seconds after the first
    this.size = [1, 1];
    this.ids = new Map(); // id -> {first, last, count}: places in `frames`, frames seen in
    this.start = null;
  }

  /** Add a line of the server. Frames come in their order. */
  add(line) {
    const place = this.frames.length;
    const last = this.frames.at(-1);
    this.size = line.size;
    this.start ??= line.time ?? 0;
    // Clocks may stand still or go back; then the frame comes right after the one before.
    const time = last ? Math.max((line.time ?? 0) - this.start, last.time + 1e-4) : 0;
    const people = peopleIn(line);
    this.frames.push({ people, number: line.frame, time });
    for (const { id } of people) {
      if (id === null) continue;
      const seen = this.ids.get(id) ?? { first: place, last: place, count: 0 };
      seen.last = place;
      seen.count += 1;
      this.ids.set(id, seen);
    }
  }

  /** After the last frame: who has no id in a clip with ids is called by no number. */
  settle() {
    if (!this.hasIds) return;
    for (const person of this.frames.flatMap(({ people }) => people)) {
      if (person.id === null) person.place = null;
    }
  }

  get hasIds() {
    return this.ids.size > 0;
  }

  /** The place of the frame that is seen at a time. */
  at(time) {
    let low = 0;
    let high = this.frames.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.frames[middle].time <= time + 1e-3) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** A time at which a frame is surely seen: inside it, not at its edge. */
  within(place) {
    const { time } = this.frames[place];
    const next = this.frames[place + 1]?.time ?? time + 0.02;
    return time + Math.min(0.5 * (next - time), 0.01);
  }

  /** The person with an id in a frame, or undefined. */
  person(place, id) {
    return this.frames[place]?.people.find((person) => person.id === id);
  }
}
