// How a node is set: what is wished for, and whether the node has said that it is so.

import { act, Asked } from "../asked.js";
import { Card, Component, State, h } from "../dom.js";

const FIELDS = [["report_ms", "Report every", "ms"], ["sample_ms", "Sample every", "ms"], ["health_s", "Say hello every", "s"]];

export class SettingsCard extends Component {
  state = { typed: {} };

  componentDidMount() {
    this.asked = new Asked("node.settings", { node: this.props.node.id }, 1000, () => this.setState({})).start();
  }

  componentWillUnmount() {
    this.asked.stop();
  }

  submit = async (event) => {
    event.preventDefault();
    const settings = Object.fromEntries(Object.entries(this.state.typed).filter(([, text]) => text !== "").map(([name, text]) => [name, Number(text)]));
    if (!Object.keys(settings).length) return;
    if (await act("node.set", { node: this.props.node.id, settings }, "Kept; the node is told now, or at its next hello")) this.setState({ typed: {} });
    this.asked.again();
  };

  render({ live }, { typed }) {
    const told = this.asked?.data;
    return h(Card, { title: "Settings", id: "settings", more: told && told.version !== null && h("span", { role: "status" }, told.converged
      ? h(State, { kind: "good" }, `in force: version ${told.version}`)
      : h(State, { kind: "warn" }, `on its way: wished ${told.version}, the node has ${told.reported_version ?? "none"}`)) },
    this.asked?.error && h("p", { class: "wrong", role: "alert" }, this.asked.error),
    h("form", { class: "settings", onSubmit: this.submit }, FIELDS.map(([name, label, unit]) =>
      h("div", { key: name, class: "field" }, h("label", { for: name }, `${label} (${unit})`),
        h("input", {
          id: name, type: "number", inputmode: "numeric", min: 10, max: 86_400_000, step: 1, readOnly: !live.can("node.set"),
          value: typed[name] ?? told?.desired[name] ?? "", placeholder: "default",
          onInput: (event) => this.setState({ typed: { ...typed, [name]: event.target.value } }),
        }))),
    live.can("node.set") && h("div", { class: "do" }, h("button", { class: "main", disabled: !Object.values(typed).some((text) => text !== "") }, "Set"))));
  }
}
