import { counted, lines, people, show } from "./page.js";

const LABELS = {
  images: "Picture",
  video: "Video",
  json: "JSON",
  jsonl: "JSON lines",
  csv: "CSV",
};
const AT_ONCE = 3; // browsers have six connections to a server; some are for downloads

const drop = document.getElementById("drop");
const choose = document.getElementById("choose");
const cards = document.getElementById("cards");
const template = document.getElementById("card");

const about = await (await fetch("api")).json();
const megabytes = about.upload / 1e6;
const closer = [["Hands", about.hand], ["Faces", about.face], ["Feet", about.foot]]
  .map(([what, network]) => (network ? ` ${what}: ${network}.` : ""))
  .join("");
document.getElementById("about").textContent += ` Network: ${about.body}.${closer}`;
document.getElementById("limits").textContent =
  `Up to ${megabytes} MB and ${about.pixels / 1e6} megapixels. Files stay on this server: ` +
  `they are deleted when they are done, results after ${about.keep / 60} minutes.`;

const waiting = [];
let running = 0;

function take(files) {
  for (const file of files) {
    const card = new Card(file);
    cards.prepend(card.item);
    waiting.push(card);
  }
  next();
}

async function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift().run().finally(() => {
      running -= 1;
      next();
    });
  }
}

/** A file, from when it is dropped to when its results are shown. */
class Card {
  constructor(file) {
    this.file = file;
    this.stop = new AbortController();
    this.item = template.content.firstElementChild.cloneNode(true);
    const find = (name) => this.item.querySelector(name);
    [this.view, this.progress, this.state] = [".view", "progress", ".state"].map(find);
    [this.problems, this.files] = [".problems", ".files"].map(find);
    find(".name").textContent = file.name;
    const remove = find(".remove");
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => this.remove());
  }

  remove() {
    const place = waiting.indexOf(this);
    if (place >= 0) waiting.splice(place, 1);
    this.stop.abort();
    this.item.remove();
    choose.focus();
  }

  async run() {
    if (this.file.size > about.upload) {
      this.fail(`The file is too large; up to ${megabytes} MB are taken.`);
      return;
    }
    this.state.textContent = "uploading";
    try {
      await this.upload();
    } catch {
      if (!this.stop.signal.aborted) this.fail("The connection to the server was lost.");
    }
  }

  async upload() {
    const query = new URLSearchParams({ name: this.file.name, pictures: 1 });
    const response = await fetch(`api/people?${query}`, {
      method: "POST",
      body: this.file,
      signal: this.stop.signal,
    });
    if (!response.ok) {
      this.fail((await response.json()).error);
      return;
    }
    let last = {};
    for await (const line of lines(response)) {
      this.tell(line);
      last = line;
    }
    if (last.state !== "done" && last.state !== "failed") throw new Error("cut off");
  }

  tell(line) {
    show(this.view, line);
    if (line.state === "failed") {
      this.fail(line.error);
    } else if (line.state === "waiting") {
      this.state.textContent = line.ahead
        ? `waits for ${counted(line.ahead, "other file", "other files")}`
        : "waits";
    } else {
      this.count(line);
    }
    if (line.state === "done") this.finish(line);
  }

  count({ frames, count, frame }) {
    if (count) {
      this.progress.max = count;
      this.progress.value = Math.min(frames, count);
    }
    const found = frame ? `, ${people(frame)}` : "";
    const of = count ? ` of ${count}` : "";
    this.state.textContent = count === 1 && frame
      ? `${people(frame)} found`
      : `frame ${frames}${of}${found}`;
  }

  finish({ files, frames, problems }) {
    this.progress.hidden = true;
    if (frames > 1 || files.video) {
      this.state.textContent = counted(frames, "frame", "frames") + " done";
    }
    if (files.video) {
      const video = document.createElement("video");
      Object.assign(video, { controls: true, loop: true, src: files.video });
      video.setAttribute("aria-label", `${this.file.name} with skeletons`);
      this.view.replaceChildren(video);
    }
    this.list(problems);
    for (const [kind, address] of Object.entries(files)) {
      const link = document.createElement("a");
      Object.assign(link, { href: address, download: "", textContent: LABELS[kind] });
      link.className = "button";
      this.files.append(link);
    }
  }

  list(problems) {
    this.problems.hidden = !problems.length;
    for (const problem of problems.slice(0, 5)) {
      const item = document.createElement("li");
      item.textContent = problem;
      this.problems.append(item);
    }
  }

  fail(sentence) {
    this.progress.hidden = true;
    this.state.textContent = sentence;
    this.state.classList.add("failed");
  }
}

choose.addEventListener("change", () => {
  take(choose.files);
  choose.value = "";
});
addEventListener("paste", (event) => take(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
document.body.dataset.ready = "";
