// Sorting, filtering, highlighting, and the details of entries and runs. Everything that is shown is in the page.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const dialog = document.querySelector("dialog");

// Elements are made of nodes and text, never of HTML: names in records may hold any character.
function element(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Sorting: within each group of a table, by the number that a cell begins with or by its text; a third time as written.

function valueOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function compare(first, second, direction) {
  const missing = (value) => value === "-" || value === "";
  if (missing(first) || missing(second)) return missing(first) - missing(second);  // at the end in either direction
  if (typeof first === "number" && typeof second === "number") return direction * (first - second);
  return direction * String(first).localeCompare(String(second), undefined, { numeric: true });
}

function sort(heading) {
  const table = heading.closest("table");
  const next = { ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")] ?? "ascending";
  for (const each of all("thead th:not(.plain)", table)) each.setAttribute("aria-sort", each === heading ? next : "none");
  for (const body of table.tBodies) {
    const rows = all("tr:not(.group)", body);
    rows.forEach((row, place) => { row.dataset.place ??= place; });
    const direction = next === "descending" ? -1 : 1;
    rows.sort((a, b) => next === "none" ? a.dataset.place - b.dataset.place
      : compare(valueOf(a, heading.cellIndex), valueOf(b, heading.cellIndex), direction));
    body.append(...rows);
  }
}

for (const heading of all("thead th:not(.plain)")) {
  const button = element("button", { type: "button", class: "sort" }, ...heading.childNodes);
  heading.replaceChildren(button);
  heading.setAttribute("aria-sort", "none");
  button.addEventListener("click", () => sort(heading));
}

// Filtering: rows that hold every word, of the chosen task; panels of figures of that task.

const search = document.getElementById("search");
const task = document.getElementById("task");
const above = document.getElementById("above");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, count = 0;
  for (const body of all("tbody[data-task]")) {
    const group = body.dataset.task;
    let any = false;
    for (const row of all("tr:not(.group)", body)) {
      const text = `${group} ${row.textContent}`.toLowerCase();
      const kept = words.every((word) => text.includes(word)) && !(above.checked && row.classList.contains("low"))
        && (!task.value || !group || group === task.value);
      row.classList.toggle("hidden", !kept);
      any ||= kept;
      shown += kept;
      count += 1;
    }
    body.classList.toggle("hidden", !any);
  }
  for (const panel of all(".panel")) {
    panel.classList.toggle("hidden", Boolean(task.value) && panel.dataset.task !== task.value);
  }
  document.getElementById("shown").textContent = shown === count ? "" : `${shown} of ${count} rows`;
}

search.addEventListener("input", filter);
task.addEventListener("change", filter);
above.addEventListener("change", filter);

// Highlighting: a key of a legend brings its series forward in every figure and marks its rows.

let focused = null;

function highlight(series) {
  focused = focused === series ? null : series;
  document.body.classList.toggle("focused", focused !== null);
  for (const key of all(".key")) key.setAttribute("aria-pressed", String(key.dataset.series === focused));
  for (const drawn of all(".panel [data-series]")) drawn.classList.toggle("chosen", drawn.dataset.series === focused);
  for (const row of all("tr[data-key]")) row.classList.toggle("chosen", entryOf(row.dataset.key).entry === focused);
}

for (const key of all(".key")) key.addEventListener("click", () => highlight(key.dataset.series));

// Details: curves, measurements and settings of an entry, and of a run of it.

const entryOf = (key) => data.entries[data.runs[key]?.owner ?? key];

function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 2));
  const wide = [1, 2, 5, 10].map((each) => each * step).find((each) => (high - low) / each <= 4.5);
  const found = [];
  for (let at = Math.ceil(low / wide); at * wide <= high + 1e-9 * wide; at += 1) found.push(Number((at * wide).toPrecision(6)));
  return found;
}

function chart(title, curves, options = {}) {
  const [width, height, left, bottom, top] = [340, 210, 44, 34, 10];
  const points = curves.flatMap((curve) => curve.points);
  const drawing = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  if (!points.length) return element("div", {}, element("h3", {}, title), "no measurements");
  const log = options.log && Math.min(...points.map((each) => each[1])) > 0;
  const scaled = (value) => (log ? Math.log10(value) : value);
  const levels = [...points.map((each) => scaled(each[1])), ...(options.level == null ? [] : [scaled(options.level)])];
  const [x0, x1] = [Math.min(...points.map((each) => each[0])), Math.max(...points.map((each) => each[0]))];
  let [y0, y1] = [Math.min(...levels), Math.max(...levels)];
  const room = (y1 - y0 || 0.1) * 0.05;
  [y0, y1] = [y0 - room, y1 + room];
  const x = (value) => left + (width - left - 16) * (x1 > x0 ? (value - x0) / (x1 - x0) : 0.5);
  const y = (value) => height - bottom - (height - bottom - top) * (scaled(value) - y0) / (y1 - y0);
  for (const at of ticks(y0, y1)) {
    const level = height - bottom - (height - bottom - top) * (at - y0) / (y1 - y0);
    drawing.append(element("path", { class: "ticks", d: `M ${left} ${level} H ${width - 16}` }));
    const label = log ? (10 ** at).toPrecision(2) : at;
    drawing.append(element("text", { x: left - 5, y: level + 3.5, "text-anchor": "end", "font-size": 10 }, `${Number(label)}`));
  }
  for (const at of x1 > x0 ? ticks(x0, x1) : [x0]) {
    drawing.append(element("text", { x: x(at), y: height - bottom + 14, "text-anchor": "middle", "font-size": 10 }, `${at}`));
  }
  drawing.append(element("text", { x: (width + left) / 2, y: height - 4, "text-anchor": "middle", "font-size": 10 }, "updates"));
  drawing.append(element("path", { class: "axis", d: `M ${left} ${top} V ${height - bottom} H ${width - 16}` }));
  if (options.level != null && (!log || options.level > 0)) {
    const at = y(options.level);
    drawing.append(element("path", { class: "axis", "stroke-dasharray": "2 3", d: `M ${left} ${at} H ${width - 16}` }));
    drawing.append(element("text", { x: width - 18, y: at - 3, "text-anchor": "end", "font-size": 9 }, "chance"));
  }
  for (const curve of curves) {
    const path = curve.points.map(([a, b], place) => `${place ? "L" : "M"} ${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join(" ");
    drawing.append(element("path", { class: `curve ${curve.kind}`, d: path, stroke: curve.colour }));
  }
  return element("div", {}, element("h3", {}, title), drawing);
}

function list(values) {
  const made = element("dl");
  for (const [name, value] of Object.entries(values)) made.append(element("dt", {}, name), element("dd", {}, String(value)));
  return made;
}

function curvesOf(entry, name, chosen) {
  const ordered = [...entry.runs].sort((a, b) => (a === chosen) - (b === chosen));
  return ordered.map((key) => {
    const run = data.runs[key];
    const points = run.updates.map((at, place) => [at, run[name][place]]).filter((point) => point[1] !== null);
    return { points, colour: `var(${entry.colour})`, kind: chosen && key !== chosen ? "other" : "" };
  });
}

function open(key) {
  const entry = entryOf(key);
  const run = data.runs[key];
  const seeds = element("div", { class: "seeds", role: "group", "aria-label": "runs" });
  const choices = [[Object.keys(data.entries).find((each) => data.entries[each] === entry), "all seeds"],
    ...entry.runs.map((each) => [each, `seed ${data.runs[each].seed}`])];
  for (const [each, text] of choices) {
    const button = element("button", { type: "button", "aria-pressed": String(each === key) }, text);
    button.addEventListener("click", () => { open(each); dialog.querySelector('.seeds [aria-pressed="true"]').focus(); });
    seeds.append(button);
  }
  const charts = element("div", { class: "charts" },
    chart(`test ${entry.measure}`, curvesOf(entry, "score", run && key), { level: entry.chance }),
    chart("training loss", curvesOf(entry, "loss", run && key), { log: true }));
  const columns = element("div", { class: "columns" });
  const measured = element("div", {}, element("h3", {}, "Measurements"), list((run ?? entry).measured));
  if (run?.reason) measured.append(element("p", { class: "note" }, run.reason));
  if (run) measured.append(element("h3", {}, "Record"), element("pre", {}, `tca show runs/${run.record}`));
  columns.append(measured, element("div", {}, element("h3", {}, "Settings"), list(entry.settings)));
  const title = `${entry.entry} on ${entry.task}${run ? `, seed ${run.seed}` : ""}`;
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector(".content").replaceChildren(seeds, charts, columns);
  dialog.dataset.key = key;
  if (!dialog.open) dialog.showModal();
}

// The rows in view that open, for the steps from one to the next.
const openable = () => all("tr[data-key]:not(.hidden)").filter((row) => row.offsetParent !== null);

function step(by) {
  const keys = openable().map((row) => row.dataset.key).filter((key, place, found) => found.indexOf(key) === place
    && (key in data.runs) === (dialog.dataset.key in data.runs));
  const place = keys.indexOf(dialog.dataset.key);
  if (keys.length) open(keys[(place + by + keys.length) % keys.length]);
}

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-key]");
  if (row && !String(getSelection())) open(row.dataset.key);
  const drawn = event.target.closest(".panel [data-series]");
  if (!drawn) return;
  const { series, seed } = drawn.dataset;
  const name = drawn.closest(".panel").dataset.task;
  const key = Object.keys(data.entries).find((each) => data.entries[each].entry === series && data.entries[each].task === name);
  if (key) open(data.entries[key].runs.find((each) => seed !== undefined && data.runs[each].seed === Number(seed)) ?? key);
});

dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.querySelector("#close").addEventListener("click", () => dialog.close());
dialog.querySelector("#previous").addEventListener("click", () => step(-1));
dialog.querySelector("#next").addEventListener("click", () => step(1));

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  if (dialog.open) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  } else if (event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (event.target.classList.contains("open") && ["ArrowUp", "ArrowDown"].includes(event.key)) {
    event.preventDefault();
    const rows = openable();
    const place = rows.indexOf(event.target.closest("tr")) + (event.key === "ArrowDown" ? 1 : -1);
    rows[place]?.querySelector(".open").focus();
  }
});

// Light, dark, or as the system has it.
const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const next = { auto: "light", light: "dark", dark: "auto" }[theme.dataset.theme];
  theme.dataset.theme = next;
  theme.textContent = `theme: ${next}`;
  document.documentElement.style.colorScheme = next === "auto" ? "" : next;
});

// Closed parts are printed too.
addEventListener("beforeprint", () => { for (const part of all("section details:not([open])")) { part.open = true; part.dataset.printed = ""; } });
addEventListener("afterprint", () => { for (const part of all("details[data-printed]")) { part.open = false; delete part.dataset.printed; } });
