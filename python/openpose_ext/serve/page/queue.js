// Runs a few cards at once, the others one after the other.

// Browsers have six connections to a server, for all tabs; some are for downloads and the webcam.
const AT_ONCE = 2;

export class Queue {
  constructor() {
    this.waiting = [];
    this.running = 0;
  }

  add(card) {
    this.waiting.push(card);
    this.next();
  }

  drop(card) {
    this.waiting = this.waiting.filter((other) => other !== card);
  }

  next() {
    while (this.running < AT_ONCE && this.waiting.length) {
      this.running += 1;
      this.waiting.shift().run().finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }
}
