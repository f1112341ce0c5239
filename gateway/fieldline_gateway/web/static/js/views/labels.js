// Where a node is, whose it is, what it is tagged with: shown, and changed in place (docs/fleet.md 2).

import { act } from "../asked.js";
import { Card, Component, h } from "../dom.js";

const FIELDS = [["name", "Name"], ["place", "Place"], ["owner", "Owner"], ["parent", "Belongs to"]];

export const Tags = ({ tags }) => h("ul", { class: "tags", "aria-label": "Tags" }, tags.map((tag) => h("li", { key: tag, class: "tag" }, tag)));

export class LabelsCard extends Component {
  state = { typed: null };

  change = () => {
    const { row } = this.props.node;
    this.setState({ typed: { ...Object.fromEntries(FIELDS.map(([name]) => [name, row[name] ?? ""])), tags: (row.tags ?? []).join(" ") } });
  };

  submit = async (event) => {
    event.preventDefault();
    const { row } = this.props.node, { typed } = this.state, target = row.node;
    const changed = Object.fromEntries(FIELDS.map(([name]) => [name, typed[name].trim()]).filter(([name, text]) => text !== (row[name] ?? "")));
    const before = row.tags ?? [], after = typed.tags.split(/[\s,]+/).filter(Boolean);
    const add = after.filter((tag) => !before.includes(tag)), remove = before.filter((tag) => !after.includes(tag));
    if (Object.keys(changed).length && !(await act("nodes.set", { target, ...changed }, "Kept"))) return;
    if (add.length + remove.length && !(await act("nodes.tag", { target, add, remove }, "Kept"))) return;
    this.setState({ typed: null });
  };

  render({ live, node }, { typed }) {
    const { row } = node, can = live.can("nodes.set");
    if (typed) {
      const field = (name, label, help) => h("div", { key: name, class: `field ${help ? "wide" : ""}` }, h("label", { for: `label-${name}` }, label),
        h("input", { id: `label-${name}`, value: typed[name], maxlength: help ? undefined : 64, placeholder: help, autocomplete: "off", onInput: (event) => this.setState({ typed: { ...typed, [name]: event.target.value } }) }));
      return h(Card, { title: "Labels", id: "labels" }, h("form", { class: "settings", onSubmit: this.submit },
        FIELDS.map(([name, label]) => field(name, label)), field("tags", "Tags", "site:kiel line:3 spare"),
        h("div", { class: "do" }, h("button", { class: "main" }, "Keep"), h("button", { type: "button", onClick: () => this.setState({ typed: null }) }, "Cancel"))));
    }
    const facts = FIELDS.slice(1).filter(([name]) => row[name]);
    return h(Card, { title: "Labels", id: "labels", more: can && h("button", { class: "bare text", "aria-label": "Change the labels", onClick: this.change }, "Change") },
      facts.length > 0 && h("dl", { class: "facts" }, facts.flatMap(([name, label]) => [h("dt", { key: name }, label), h("dd", { key: `${name}-is` }, row[name])])),
      row.tags && h(Tags, { tags: row.tags }),
      facts.length === 0 && !row.tags && h("p", { class: "fine" }, "No place, owner or tags: targets can choose nodes by them."));
  }
}
