// The door: a token, once for each browser.

import * as api from "../api.js";
import { Component, h } from "../dom.js";

export class LogIn extends Component {
  state = { error: "", busy: false };

  submit = async (event) => {
    event.preventDefault();
    const field = event.target.elements.token;
    this.setState({ busy: true, error: "" });
    try {
      await api.logIn(field.value.trim());
      await this.props.done();
    } catch (error) {
      this.setState({ busy: false, error: error.message });
      field.focus();
    }
  };

  render({ why }, { error, busy }) {
    return h("main", { id: "main", class: "door" },
      h("form", { class: "card", onSubmit: this.submit },
        h("img", { src: "/static/icon.svg", alt: "", width: 48, height: 48 }),
        h("h1", null, "Fieldline"),
        why && h("p", { class: "why" }, why),
        h("input", { type: "text", name: "username", autocomplete: "username", value: "fieldline", hidden: true, readOnly: true }),
        h("label", { for: "token" }, "Token"),
        h("input", {
          id: "token", name: "token", type: "password", autocomplete: "current-password", required: true,
          autofocus: true, spellcheck: false, "aria-describedby": "token-help", "aria-invalid": error ? "true" : undefined,
        }),
        h("p", { class: "wrong", role: "alert" }, error),
        h("button", { class: "main", disabled: busy }, busy ? "Looking …" : "Log in"),
        h("p", { id: "token-help", class: "help" },
          "On the gateway: ", h("code", null, "fieldline gateway token add NAME --role operator"))));
  }
}
