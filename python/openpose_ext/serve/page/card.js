// An upload, from when a file is added until its results are shown or removed.

import { Problem, follow, pause, remove, send } from "./api.js";
import { downloads } from "./downloads.js";
import { element } from "./elements.js";
import { preview } from "./preview.js";
import { Result } from "./result.js";
import { counted, people } from "./words.js";

const MOST_PROBLEMS = 5; // that are shown
const FINAL = new Set([400, 401, 403, 413, 415]); // refusals that trying again cannot change
const GONE = "The server does not have this any more; it keeps results for a while only.";

export class Card {
  /**
   * `upload`: {name, options} and either `file`, to be sent, or `key`, an upload that the server
   * has. `about`: the answer of api/options. `removed(card)` is called after it has gone.
   */
  constructor({ name, options, file = null, key = null, left = null }, about, removed) {
    Object.assign(this, { name, options, file, key, left, about, removed });
    this.stop = new AbortController();
    this.over = false; // done or failed
    this.sending = false;
    this.spent = false; // the server cannot go on with this key; only sending again helps
    this.progress = element("progress", { "aria-label": `Progress of ${name}` });
    this.state = element("p", { class: "state", role: "status", textContent: "waits" });
    this.kept = element("p", { class: "quiet", hidden: true });
    this.view = element("div", { class: "preview", hidden: true });
    this.again = element("button", {
      type: "button", class: "button", hidden: true, textContent: "Try again",
      "aria-label": `Try again with ${name}`,
    });
    this.body = element("div", { class: "body" });
    const close = element("button", {
      type: "button", class: "remove", textContent: "Remove", "aria-label": `Remove ${name}`,
    });
    close.addEventListener("click", () => this.remove());
    this.item = element(
      "li", { class: "card" },
      element("h2", { class: "name", textContent: name }), close,
      this.state, this.progress, this.view, this.again, this.body, this.kept,
    );
  }

  /** Send the file if that is to be done, and follow it to its end. */
  async run() {
    this.begin();
    try {
      if (this.key === null) {
        this.sending = true;
        await this.send().finally(() => (this.sending = false));
      }
      for await (const line of follow(this.key, this.stop.signal)) this.tell(line);
    } catch (error) {
      if (this.stop.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404) this.lose(GONE);
      else this.fail(error.message, !FINAL.has(error.status));
    }
  }

  begin() {
    if (this.spent) this.key = null;
    this.spent = false;
    this.over = false;
    this.state.classList.remove("failed");
    this.progress.hidden = false;
    this.again.hidden = true;
  }

  async send() {
    const { upload } = this.about.limits;
    if (this.file.size > upload) {
      const megabytes = (bytes) => `${Math.round(bytes / 1e5) / 10} MB`;
      throw new Problem(
        `This file has ${megabytes(this.file.size)}; the server takes up to ${megabytes(upload)}. `
        + "Make it shorter or smaller, then add it again.",
        { status: 413 },
      );
    }
    for (;;) {
      this.state.textContent = "uploading";
      try {
        const line = await send(this.file, this.options, (share) => {
          this.progress.value = share;
          if (share === 1) {
            this.progress.removeAttribute("value");
            this.state.textContent = "the server checks the file";
          }
        }, this.stop.signal);
        this.key = line.key;
        return;
      } catch (error) {
        if (!(error instanceof Problem) || error.after === null) throw error;
        this.state.textContent = error.message;
        await pause(error.after, this.stop.signal);
      }
    }
  }

  tell(line) {
    preview(this.view, line);
    // A screen reader is told what happens, but not each frame.
    this.state.setAttribute("aria-live", line.state === "working" ? "off" : "polite");
    if (line.state === "lost") {
      this.state.textContent = "The connection to the server was lost. This page tries again in "
        + `${counted(line.wait, "second", "seconds")}.`;
    } else if (line.state === "failed") {
      this.lose(line.error);
    } else if (line.state === "waiting") {
      this.state.textContent = line.ahead
        ? `waits for ${counted(line.ahead, "other file", "other files")}`
        : "waits";
    } else if (line.state === "working") {
      this.count(line);
    } else {
      this.finish(line);
    }
  }

  count({ frames, count, frame }) {
    if (count) {
      this.progress.max = count;
      this.progress.value = Math.min(frames, count);
    }
    const found = frame ? `, ${people(frame.people.length)}` : "";
    this.state.textContent = `frame ${frames}${count ? ` of ${count}` : ""}${found}`;
  }

  finish(line) {
    this.over = true;
    this.progress.hidden = true;
    this.view.hidden = true;
    this.state.textContent = "video" in line.files
      ? `${counted(line.frames, "frame", "frames")} done`
      : `${people(line.frame.people.length)} found`;
    this.result = new Result(this.name, line, this.options, this.about.topologies);
    this.body.replaceChildren(
      ...troubles(line.problems), this.result.element, downloads(line.files, this.name),
    );
    this.keeps();
    this.whenSeen(() => this.result.load().catch((error) => {
      if (!this.stop.signal.aborted) this.fail(error.message, true);
    }));
  }

  keeps() {
    const until = new Date(Date.now() + 1000 * (this.left ?? this.about.limits.keep));
    const clock = until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.kept.textContent = `The server keeps these files until ${clock}.`;
    this.kept.hidden = false;
  }

  /** A page may have many cards, and videos many frames: load those that are looked at. */
  whenSeen(load) {
    const watch = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      watch.disconnect();
      load();
    }, { rootMargin: "50%" });
    watch.observe(this.item);
    this.stop.signal.addEventListener("abort", () => watch.disconnect());
  }

  /** The server has removed the results. */
  expire() {
    this.kept.hidden = true;
    this.body.querySelector(".files")?.remove();
    this.lose(GONE);
  }

  /** The server has given this upload up. */
  lose(sentence) {
    this.spent = true;
    this.fail(sentence, this.file !== null);
  }

  fail(sentence, again) {
    this.over = true;
    this.progress.hidden = true;
    this.state.textContent = sentence;
    this.state.classList.add("failed");
    this.again.hidden = !again;
  }

  remove() {
    this.stop.abort();
    this.result?.close();
    if (this.key !== null) remove(this.key).catch(() => {}); // it goes by itself later
    this.item.remove();
    this.removed(this);
  }
}

function troubles(problems) {
  if (!problems.length) return [];
  const items = problems.slice(0, MOST_PROBLEMS).map((problem) =>
    element("li", { textContent: problem }));
  return [element("ul", { class: "problems" }, ...items)];
}
