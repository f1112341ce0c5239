// Commands and how far they are.

import { Empty, h } from "../dom.js";

export function Commands() {
  return h("div", { class: "view" }, h("h1", null, "Commands"), h(Empty, { title: "No commands." }));
}
