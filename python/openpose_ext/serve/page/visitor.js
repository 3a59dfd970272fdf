// By whom the server finds a visitor's uploads again.

import { recall, remember } from "./remember.js";

export const visitor = known(recall("visitor", null)) ?? made();

function known(id) {
  return /^[\w-]{16,64}$/.test(id ?? "") ? id : null;
}

function made() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  remember("visitor", id);
  return id;
}
