// Starts the page: who is logged in, the line to the gateway, which view.

import * as api from "./api.js";
import { h, render } from "./dom.js";
import { Shell } from "./shell.js";
import { Live } from "./state.js";
import { LogIn } from "./views/login.js";

const root = document.getElementById("app");

root.replaceChildren();

async function start() {
  try {
    begin(await api.me());
  } catch (error) {
    if (error.status === 401) logIn();
    else {
      render(h("p", { class: "loading" }, `${error.message}; trying again …`), root);
      setTimeout(start, 3000);
    }
  }
}

function logIn(why = "") {
  render(h(LogIn, { why, done: async () => begin(await api.me()) }), root);
}

function begin(me) {
  const live = new Live(me.operations);
  live.listen(() => {
    if (live.line === "out") logIn("You were logged out: the token ended or was revoked.");
  });
  const leave = async () => {
    live.stop();
    try { await api.logOut(); } catch { /* the cookie ends by itself */ }
    logIn();
  };
  live.start();
  render(h(Shell, { live, me, leave }), root);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  document.getElementById("main")?.focus();
});

start();
