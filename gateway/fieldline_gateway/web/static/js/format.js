// Numbers and times as people read them.

export function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) return `${s} s`;
  if (s < 100 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let at = -1;
  do { count /= 1024; at++; } while (count >= 1024 && at < units.length - 1);
  return `${count < 10 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

const forms = [0, 1, 2].map((digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const [whole] = forms;

// With as many decimals as its size bears, so that a value that moves does not change its width.
export function number(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return whole.format(value);
  const size = Math.abs(value);
  return forms[size >= 200 ? 0 : size >= 10 ? 1 : 2].format(value);
}

// "1 node", "2 nodes"
export const count = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;

const two = (n) => String(n).padStart(2, "0");

// Today's times without the day, local.
export function clock(ms, now) {
  const at = new Date(ms), today = new Date(now);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === today.toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

// A node by its name, else by its id.
export const called = (row) => row.name && row.name !== row.node ? row.name : row.node;

// A link without the folders of its path.
export const link = (name) => (name ?? "").replace(/^.*\//, "");
