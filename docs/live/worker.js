// Finds people in a thread of its own: picture -> network input -> maps -> people.

import openDecoder from "./decoder.mjs";
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
const about = await (await fetch("network.json")).json(); // written by docs/_ext/live.py
const [network, { Decoder }] = await Promise.all([
  ort.InferenceSession.create(about.file, { executionProviders: ["wasm"] }),
  openDecoder(),
]);
const decoder = new Decoder();
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true });

addEventListener("message", async ({ data: { picture, height } }) => {
  try {
    const size = [picture.width, picture.height];
    const content = contentOf(size, height);
    const begun = performance.now();
    const input = inputOf(picture, content);
    const seen = performance.now();
    const maps = await network.run({ [network.inputNames[0]]: input });
    const computed = performance.now();
    const people = peopleIn(maps, size, content);
    const times = {
      input: seen - begun, network: computed - seen, decoder: performance.now() - computed,
    };
    postMessage({ people, size, times });
  } catch (error) {
    postMessage({ error: error.message });
  } finally {
    picture.close();
  }
});
postMessage({ topologies: about.topologies, skeleton: about.skeleton });

/** Width and height of the picture inside the network's input, as `Preprocessing` has them. */
function contentOf([width, height], rows) {
  const longest = Math.sqrt((about.longest * rows * rows) / (width * height));
  const factor = Math.min(rows / height, longest);
  return [width, height].map((side) => Math.max(1, Math.round(side * factor)));
}

/** The picture in the top left corner, grey around it, plane by plane in the network's order. */
function inputOf(picture, content) {
  const [width, height] = content.map((side) => Math.ceil(side / about.stride) * about.stride);
  Object.assign(canvas, { width, height });
  context.fillStyle = `rgb(${about.padding} ${about.padding} ${about.padding})`;
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high"; // averages where it shrinks
  context.drawImage(picture, 0, 0, ...content);
  const pixels = context.getImageData(0, 0, width, height).data;
  const count = width * height;
  const planes = new Float32Array(3 * count);
  for (let plane = 0; plane < 3; plane += 1) {
    const channel = "RGB".indexOf(about.channels[plane]);
    const [mean, divisor] = [about.mean[plane], about.divisor[plane]];
    for (let k = 0; k < count; k += 1) {
      planes[plane * count + k] = (pixels[4 * k + channel] - mean) / divisor;
    }
  }
  return new ort.Tensor("float32", planes, [1, 3, height, width]);
}

/** Everybody's points as x, y, score in turn, in pixels of the picture; best people first. */
function peopleIn(maps, size, content) {
  const { [about.outputs.heat]: heat, [about.outputs.paf]: paf } = maps;
  const [height, width] = heat.dims.slice(2);
  const scale = size.map((side, axis) => (about.stride * side) / content[axis]);
  const rows = decoder.decode(heat.data, paf.data, height, width, {
    scale_x: scale[0],
    shift_x: scale[0] / 2 - 0.5,
    scale_y: scale[1],
    shift_y: scale[1] / 2 - 0.5 + about.lift,
    width: size[0],
    height: size[1],
  });
  const length = 1 + 3 * about.topologies[about.skeleton].parts.length;
  const people = [];
  for (let at = 0; at < rows.length; at += length) {
    const points = rows.slice(at + 1, at + length);
    for (let k = 2; k < points.length; k += 3) points[k] = calibrated(points[k]);
    people.push(points);
  }
  return people;
}

/** The share of parts with this score that are right; parts that were not seen keep their score. */
function calibrated(score) {
  const { scores, shares } = about.calibration;
  if (score <= scores[0]) return score;
  const next = scores.findIndex((one) => one >= Math.min(score, scores.at(-1)));
  const part = Math.min(1, (score - scores[next - 1]) / (scores[next] - scores[next - 1]));
  return shares[next - 1] + part * (shares[next] - shares[next - 1]);
}
