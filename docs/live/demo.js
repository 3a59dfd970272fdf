// The page: a picture or the webcam goes in, skeletons come out, and how long each step took.

import { element } from "./elements.js";
import { Finder } from "./finder.js";
import { Look } from "./skeletons.js";
import { Stage } from "./stage.js";
import { View } from "./view.js";
import { Webcam } from "./webcam.js";
import { people } from "./words.js";

const THRESHOLD = 0.05; // as of `infer`: parts that were seen

const find = (id) => document.getElementById(id);
const [drop, choose, height, state, panel, times] =
  ["drop", "choose", "height", "state", "picture", "times"].map(find);

let newest = null; // the picture that is shown, to be looked at again

say("Loading the network (about 18 MB, once).");
let finder;
try {
  finder = await Finder.open();
  say("");
  listen();
} catch (error) {
  say(error.message, true);
}
document.body.dataset.ready = "";

function listen() {
  new Webcam(find("webcam"), find("camera"), () => new Look(finder.topologies, {}, THRESHOLD), see);
  choose.addEventListener("change", () => {
    take(choose.files[0]);
    choose.value = "";
  });
  find("sample").addEventListener("click", async () => {
    take(new File([await (await fetch("sample.jpg")).blob()], "sample.jpg"));
  });
  height.addEventListener("change", () => newest && take(newest));
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
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
    take(event.dataTransfer.files[0]);
  });
}

/** Show a file's people. */
async function take(file) {
  if (!file) return;
  say(`Looking at ${file.name}.`);
  try {
    const found = await see(file);
    newest = file;
    show(file, found);
    say(`${people(found.people.length)} in ${file.name}`);
  } catch (error) {
    say(error instanceof DOMException // of what could not be decoded
      ? `${file.name} is no picture that this browser can read. Choose a JPEG, PNG or WebP.`
      : error.message, true);
  }
}

async function see(source) {
  const found = await finder.find(source, Number(height.value));
  const { input, network, decoder } = found.times;
  times.textContent = `${Math.round(input + network + decoder)} ms: input ${Math.round(input)}, `
    + `network ${Math.round(network)}, decoder ${decoder.toFixed(1)}`;
  return found;
}

function show(file, found) {
  const picture = element("img", { src: URL.createObjectURL(file), alt: "" });
  picture.addEventListener("load", () => URL.revokeObjectURL(picture.src));
  const stage = new Stage(new Look(finder.topologies, {}, THRESHOLD));
  stage.set(picture);
  const view = new View(stage.look, stage, () => {});
  panel.replaceChildren(stage.element, view.element);
  panel.hidden = false;
  stage.show(found.people, found.size);
  stage.canvas.setAttribute("aria-label", `${people(found.people.length)} in ${file.name}`);
}

function say(sentence, failed = false) {
  state.textContent = sentence;
  state.classList.toggle("failed", failed);
}
