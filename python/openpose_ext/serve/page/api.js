// The server's API. What goes wrong becomes a `Problem`, whose message says what to do.

import { lines } from "./lines.js";
import { visitor } from "./visitor.js";
import { counted } from "./words.js";

const UNREACHABLE =
  "The server cannot be reached. Check that it is still running, then try again.";
const FULL_FOR = 5; // seconds to wait for a full server that does not say how long
const LONGEST_PAUSE = 10; // seconds between two attempts to reach the server

export class Problem extends Error {
  /** `status`: of the answer, 0 if there was none; `after`: seconds until it may work. */
  constructor(sentence, { status = 0, after = null } = {}) {
    super(sentence);
    this.status = status;
    this.after = after;
  }
}

export async function about() {
  return (await ask("api/options")).json();
}

/** All uploads of this visitor that the server has, the newest first. */
export async function uploads() {
  return (await (await ask(`api/people?visitor=${visitor}`)).json()).uploads;
}

export async function sample() {
  const blob = await (await ask("api/sample")).blob();
  return new File([blob], "sample.jpg", { type: blob.type });
}

/** Give an upload up, or remove its results, even if the page is left at once. */
export function remove(key) {
  return ask(`api/people/${key}`, { method: "DELETE", keepalive: true });
}

/** The people of one picture: {frame, seconds}. */
export async function look(blob, options, signal) {
  const query = new URLSearchParams({ ...options, visitor });
  return (await ask(`api/frame?${query}`, { method: "POST", body: blob, signal })).json();
}

/** The lines of a file of results, parsed. */
export async function* linesOf(address, signal) {
  yield* lines(await ask(address, { signal }));
}

/**
 * Send a file; gives the server's first line on it. From then on the server goes on by itself.
 * `progress(share)` is called while it is sent.
 */
export function send(file, options, progress, signal) {
  const query = new URLSearchParams({ name: file.name, ...options, plain: 1, visitor });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // unlike fetch, it tells how much was sent
    const first = () => {
      const end = request.responseText.indexOf("\n");
      if (request.status !== 200 || end < 0) return;
      resolve(JSON.parse(request.responseText.slice(0, end)));
      request.abort(); // `follow` has the others
    };
    request.open("POST", `api/people?${query}`);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) progress(event.loaded / event.total);
    });
    request.addEventListener("progress", first);
    request.addEventListener("load", () => {
      if (request.status === 200) first();
      const { status, responseText } = request;
      reject(refusal(status, responseText, request.getResponseHeader("Retry-After")));
    });
    request.addEventListener("error", () => reject(new Problem(UNREACHABLE)));
    request.addEventListener("abort", () => reject(new DOMException("given up", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * The lines on an upload until it is done or has failed. When the connection is lost it is made
 * again; meanwhile there are lines {state: "lost", wait: seconds}.
 */
export async function* follow(key, signal) {
  let attempts = 0;
  for (;;) {
    try {
      for await (const line of linesOf(`api/people/${key}?pictures=1`, signal)) {
        attempts = 0;
        yield line;
        if (line.state === "done" || line.state === "failed") return;
      }
    } catch (error) {
      if (signal.aborted || (error.status >= 400 && error.status < 500 && error.status !== 429)) {
        throw error;
      }
    }
    const wait = Math.min(2 ** attempts, LONGEST_PAUSE);
    attempts += 1;
    yield { state: "lost", wait };
    await pause(wait, signal);
  }
}

/** Wait some seconds, or until given up. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function ask(address, how = {}) {
  let response;
  try {
    response = await fetch(address, how);
  } catch (error) {
    throw how.signal?.aborted ? error : new Problem(UNREACHABLE);
  }
  if (response.ok) return response;
  throw refusal(response.status, await response.text(), response.headers.get("Retry-After"));
}

function refusal(status, text, after) {
  const seconds = Number(after) || (status === 429 || status === 503 ? FULL_FOR : null);
  let sentence;
  try {
    sentence = JSON.parse(text).error;
  } catch {
    sentence = `The server answered with status ${status}. Try again in a minute.`;
  }
  if (status === 401) {
    sentence = "This server wants a token. Open the address that it printed when it was started; "
      + "the token is part of it.";
  } else if (seconds !== null) {
    sentence += ` This page tries again in ${counted(seconds, "second", "seconds")}.`;
  }
  return new Problem(sentence, { status, after: seconds });
}
