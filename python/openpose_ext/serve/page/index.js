// The page: files, the sample or the webcam go in, cards with results come out.

import { about as asked, look, sample, uploads } from "./api.js";
import { Card } from "./card.js";
import { peopleIn } from "./clip.js";
import { Controls } from "./controls.js";
import { Queue } from "./queue.js";
import { lookOf } from "./result.js";
import { Webcam } from "./webcam.js";

const QUALITY = 0.85; // of the webcam's JPEGs
const OVERTAKEN = 409; // another frame of this visitor came later

const find = (id) => document.getElementById(id);
const [drop, choose, cards, notice] = ["drop", "choose", "cards", "notice"].map(find);

const queue = new Queue();
const shown = new Set(); // cards
let about;
let controls;

try {
  about = await asked();
  begin();
  await meet();
} catch (error) {
  tell(error.message, "Reload the page", () => location.reload());
}
document.body.dataset.ready = "";

function begin() {
  controls = new Controls(find("options"), find("chosen"), about);
  const lookNow = () => lookOf(controls.chosen, about.topologies);
  new Webcam(find("webcam"), find("camera"), lookNow, see);
  const { upload, pixels, keep } = about.limits;
  find("limits").textContent =
    `Up to ${Math.round(upload / 1e6)} MB and ${Math.round(pixels / 1e6)} megapixels. Files stay on `
    + `this server: they are deleted when they are done, results after ${Math.round(keep / 60)} `
    + "minutes.";
  find("main").hidden = false;
  listen();
}

function listen() {
  choose.addEventListener("change", () => {
    take(choose.files);
    choose.value = "";
  });
  find("sample").addEventListener("click", async () => {
    try {
      take([await sample()]);
    } catch (error) {
      tell(error.message);
    }
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
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") meet().catch(() => {}); // cards say it themselves
  });
}

function take(files) {
  notice.hidden = true;
  for (const file of files) {
    queue.add(put({ name: file.name, options: controls.chosen, file }));
  }
}

/** Show what the server has of this visitor, from before a reload or another tab. */
async function meet() {
  const there = await uploads();
  if ([...shown].some((card) => card.sending)) return; // one of these may be there already
  const known = new Map([...shown].map((card) => [card.key, card]));
  for (const upload of there.toReversed()) {
    if (!known.has(upload.key)) queue.add(put(upload));
  }
  const keys = new Set(there.map(({ key }) => key));
  for (const [key, card] of known) if (key !== null && card.over && !card.spent && !keys.has(key)) card.expire();
}

function put(upload) {
  const card = new Card(upload, about, (gone) => {
    queue.drop(gone);
    shown.delete(gone);
    find("results").hidden = shown.size === 0;
    choose.focus();
  });
  card.again.addEventListener("click", () => queue.add(card));
  shown.add(card);
  find("results").hidden = false;
  cards.prepend(card.item);
  return card;
}

/** Who is in the webcam's picture; null where a newer one has overtaken it. */
async function see(canvas, signal) {
  const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  try {
    const { frame } = await look(jpeg, controls.chosen, signal);
    return { people: peopleIn(frame), size: frame.size };
  } catch (error) {
    if (error.status === OVERTAKEN) return null;
    throw error;
  }
}

/** Say what went wrong, and offer what to do. */
function tell(sentence, label = "", act = null) {
  notice.textContent = sentence;
  notice.hidden = false;
  if (!act) return;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "button", textContent: label });
  button.addEventListener("click", act);
  notice.append(" ", button);
}
