// What both pages do: read lines of JSON as they come, and show the picture in one.

/** Each line of a response, parsed, as soon as it is there. */
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

/** Show the picture of a line, if it has one. */
export function show(view, line) {
  if (!line.picture) return;
  view.hidden = false;
  let picture = view.querySelector("img");
  if (!picture) {
    picture = document.createElement("img");
    view.replaceChildren(picture);
  }
  picture.src = `data:image/jpeg;base64,${line.picture}`;
  picture.alt = line.frame ? `${people(line.frame)} found` : "the newest frame";
}

export function people(frame) {
  return counted(frame.people.length, "person", "people");
}

export function counted(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
