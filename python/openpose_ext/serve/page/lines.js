// Reads lines of JSON from a response as they come.

/** Each line of a response, parsed, as soon as it is there. */
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) yield JSON.parse(part);
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops reading ends the request
  }
}
