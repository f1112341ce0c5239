// Answers that are asked for again and again while somebody looks: alerts, quarantine, commands.

import * as api from "./api.js";
import { say } from "./dom.js";

export class Asked {
  // `everyMs`: how often; `changed` is called after each answer.
  constructor(operation, args, everyMs, changed) {
    Object.assign(this, { operation, args, everyMs, changed });
    this.data = null;
    this.error = "";
    this.running = false;
  }

  start() {
    this.running = true;
    this.again();
    return this;
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
  }

  async again() {
    clearTimeout(this.timer);
    if (!document.hidden || this.data === null) await this.ask();
    if (this.running) this.timer = setTimeout(() => this.again(), this.everyMs);
  }

  async ask() {
    try {
      this.data = await api.call(this.operation, this.args);
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
    if (this.running) this.changed();
  }
}

// Do what a person asked for, and say how it went; true where it was done.
export async function act(operation, args, done) {
  try {
    const result = await api.call(operation, args);
    say(typeof done === "function" ? done(result) : done);
    return true;
  } catch (error) {
    say(error.message, "failed");
    return false;
  }
}
