// A question before what cannot be taken back. The browser's own dialog keeps the focus inside and Escape says no.

import { Component, h } from "./dom.js";

export class Confirm extends Component {
  componentDidMount() {
    this.before = document.activeElement;
    this.box.showModal();
  }

  componentWillUnmount() {
    this.box.close();
    this.before?.focus?.();
  }

  yes = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true });
    await this.props.done();
  };

  render({ title, text, yes, danger, no }, { busy }) {
    return h("dialog", { ref: (box) => { this.box = box ?? this.box; }, "aria-labelledby": "confirm-title", onCancel: (event) => { event.preventDefault(); no(); } },
      h("h2", { id: "confirm-title" }, title), h("p", null, text),
      h("div", { class: "do" }, h("button", { onClick: no, autofocus: true }, "Cancel"), h("button", { class: danger ? "danger" : "main", disabled: busy, onClick: this.yes }, yes)));
  }
}
