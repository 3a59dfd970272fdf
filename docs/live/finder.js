// The worker, as the page sees it: a picture in, people out.

export class Finder {
  /** Resolves when the network is loaded, to a Finder. Rejects with what to do. */
  static async open() {
    const worker = new Worker("worker.js", { type: "module" });
    const { topologies, skeleton } = await answer(worker);
    return new Finder(worker, topologies, skeleton);
  }

  constructor(worker, topologies, skeleton) {
    Object.assign(this, { worker, topologies, skeleton });
    this.last = Promise.resolve();
  }

  /**
   * Find the people of a picture (anything `createImageBitmap` takes) with a network input of this
   * height: {people: as `peopleIn` of clip.js gives them, size, times in milliseconds}. One after
   * the other.
   */
  find(source, height) {
    this.last = this.last.catch(() => {}).then(async () => {
      const picture = await createImageBitmap(source);
      this.worker.postMessage({ picture, height }, [picture]);
      const { people, size, times } = await answer(this.worker);
      const found = people.map((points, place) => ({
        id: null, place, layers: [{ kind: "body", skeleton: this.skeleton, name: "", points }],
      }));
      return { people: found, size, times };
    });
    return this.last;
  }
}

/** The worker's next message. */
function answer(worker) {
  return new Promise((done, fail) => {
    worker.onmessage = ({ data }) => (data.error ? fail(new Error(data.error)) : done(data));
    worker.onerror = ({ message }) => fail(new Error(
      `The network could not be loaded. Reload the page. ${message ?? ""}`,
    ));
  });
}
