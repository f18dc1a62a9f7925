"use strict";

// ---------------------------------------------------------------- filters: words, and conditions such as depth>=20

const CONDITION = /^([^\s<>=!"]+)(<=|>=|!=|=|<|>)(.+)$/;

// A text in quotes is taken as it is; what is still being typed may lack the closing quote.
function unquoted(text) {
  try { return text.startsWith('"') ? JSON.parse(text) : text; } catch { return text.slice(1); }
}

function parsed(text, names) {
  const tests = [], wrong = [];
  for (const word of text.match(/(?:"(?:[^"\\]|\\.)*"?|[^\s"])+/g) ?? []) {
    const found = word.match(CONDITION);
    if (!found) {
      const wanted = unquoted(word).toLowerCase();
      tests.push(row => row.text().includes(wanted));
    } else if (!names.has(found[1])) {
      wrong.push(found[1]);
    } else {
      const wanted = found[3].match(/"(?:[^"\\]|\\.)*"?|[^|"]+/g).map(unquoted);
      tests.push(row => holds(row.value(found[1]), found[2], wanted));
    }
  }
  return { test: row => tests.every(test => test(row)), wrong };
}

function holds(value, relation, wanted) {
  if (relation === "=") return wanted.some(text => same(value, text));
  if (relation === "!=") return !wanted.some(text => same(value, text));
  if (value === null) return false;
  const [a, b] = typeof value === "number" ? [value, Number(wanted[0])] : [value, wanted[0]];
  return { "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b }[relation];
}

function same(value, text) {
  if (value === null) return text === "null";
  return typeof value === "number" ? value === Number(text) : value.toLowerCase() === text.toLowerCase();
}

function compared(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

// ---------------------------------------------------------------- listings: rows that are sorted, filtered and paged

class Listing {
  constructor(box, rows, names) {
    Object.assign(this, { box, rows, names, from: 0, shown: rows, size: Number(box.dataset.page) });
    this.body = box.querySelector("tbody");
    this.input = box.querySelector("input");
    this.said = box.querySelector("output");
    this.pager = box.querySelector(".pager");
    this.chips = [...box.querySelectorAll(".chip")];
    this.input?.addEventListener("input", () => this.update());
    box.querySelector("form")?.addEventListener("submit", event => event.preventDefault());
    for (const chip of this.chips) {
      chip.addEventListener("click", () => {
        chip.setAttribute("aria-pressed", chip.ariaPressed !== "true");
        this.update();
      });
    }
    for (const button of box.querySelectorAll("thead button")) {
      button.addEventListener("click", () => this.sort(button.parentElement));
    }
    this.update();
  }

  sort(head) {
    const down = head.ariaSort === "ascending" || (head.ariaSort === "none" && "numeric" in head.dataset);
    for (const other of this.box.querySelectorAll("thead th")) other.ariaSort = "none";
    head.ariaSort = down && head.ariaSort !== "descending" ? "descending" : "ascending";
    const name = head.dataset.name, sign = head.ariaSort === "descending" ? -1 : 1;
    this.rows = this.rows.toSorted((a, b) => {
      const [x, y] = [a.value(name), b.value(name)];
      if (x === null || y === null) return (x === null) - (y === null); // what is missing stays last
      return sign * compared(x, y);
    });
    this.update();
  }

  filter(text) {
    if (!this.input) return; // so few rows that they are all seen
    this.input.value = text;
    for (const chip of this.chips) chip.ariaPressed = "false";
    this.update();
  }

  update() {
    this.shown = this.rows;
    if (this.input) this.choose();
    this.turn(0);
  }

  choose() {
    const { test, wrong } = parsed(this.input.value, this.names);
    const pressed = Map.groupBy(this.chips.filter(chip => chip.ariaPressed === "true"), chip => chip.dataset.name);
    const wanted = [...pressed].map(([name, chips]) => [name, chips.map(chip => chip.dataset.value)]);
    this.shown = this.rows.filter(
      row => test(row) && wanted.every(([name, texts]) => texts.some(text => same(row.value(name), text))));
    this.said.classList.toggle("wrong", wrong.length > 0);
    this.said.textContent = wrong.length
      ? `no column ${wrong[0]}; there is ${[...this.names].join(", ")}`
      : this.shown.length === this.rows.length ? `${this.rows.length.toLocaleString("en")} rows`
      : `${this.shown.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} rows`;
  }

  turn(from) {
    this.from = from;
    const page = this.shown.slice(from, from + this.size);
    this.body.replaceChildren(...page.flatMap(row => [row.element(), ...(row.trail ? [row.trail] : [])]));
    this.pager.hidden = this.shown.length <= this.size;
    if (this.pager.hidden) return;
    const step = (text, to) => {
      const button = make("button", text);
      button.type = "button";
      button.disabled = to < 0 || to >= this.shown.length;
      button.addEventListener("click", () => this.turn(to));
      return button;
    };
    const last = Math.min(from + this.size, this.shown.length);
    this.pager.replaceChildren(
      step("Previous", from - this.size), step("Next", from + this.size),
      make("span", `${(from + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${this.shown.length.toLocaleString("en")}`));
  }
}

function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

class WrittenRow { // of a table that is in the page
  constructor(element, columns) {
    this.here = element;
    this.columns = columns;
  }
  element() { return this.here; }
  text() { return this.words ??= this.here.textContent.toLowerCase(); }
  value(name) {
    const { place, numeric } = this.columns.get(name), value = this.here.cells[place].dataset.value;
    return value === undefined ? null : numeric ? Number(value) : value;
  }
}

function written(box) {
  const heads = [...box.querySelectorAll("thead th")];
  const columns = new Map(heads.map((head, place) => [head.dataset.name, { place, numeric: "numeric" in head.dataset }]));
  const rows = [...box.querySelectorAll("tbody tr")].map(element => new WrittenRow(element, columns));
  return new Listing(box, rows, new Set(columns.keys()));
}

// ---------------------------------------------------------------- runs: rows that are made when they are looked at

const data = JSON.parse(document.getElementById("runs-data").textContent);

function valueOf(run, name) {
  const column = data.columns[name];
  if (!column) return data.same[name];
  if (column.numbers) return column.numbers[run];
  return column.places[run] < 0 ? null : column.texts[column.places[run]];
}

function shownAs(name, value) {
  if (value === null || value === undefined) return make("span", "–", "none");
  if (name === data.init) return initializer(value);
  if (name === "outcome" || name === "status") return make("span", value, name === "outcome" || value !== "done" ? value : "");
  if (name === "run_id" || name === "stack_id") return make("span", value, "mono");
  if (typeof value === "number") return document.createTextNode(shortened(value).replace("-", "−"));
  return document.createTextNode(value);
}

function shortened(value) {
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : String(Number(value.toPrecision(4)));
}

function initializer(label) {
  const name = make("span", "", "init"), space = "http://www.w3.org/2000/svg";
  const swatch = document.createElementNS(space, "svg"), use = document.createElementNS(space, "use");
  swatch.setAttribute("class", "swatch");
  swatch.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#look-${data.looks[label]}`);
  swatch.append(use);
  name.append(swatch, label);
  return name;
}

class Run {
  constructor(number) { this.number = number; }
  value(name) { return valueOf(this.number, name); }
  text() { return this.words ??= RUN_COLUMNS.map(name => this.value(name) ?? "").join("\n").toLowerCase(); }
  element() {
    const row = document.createElement("tr");
    for (const name of RUN_COLUMNS) {
      const cell = make("td", "", data.columns[name].numbers ? "number" : "");
      cell.append(shownAs(name, this.value(name)));
      row.append(cell);
    }
    return row;
  }
}

const RUN_COLUMNS = Object.keys(data.columns).filter(name => name !== "cell");
const RUNS = Array.from({ length: data.count }, (_, number) => new Run(number));

function everyRun(box) {
  const row = document.createElement("tr");
  for (const name of RUN_COLUMNS) {
    const head = make("th", "", data.columns[name].numbers ? "number" : ""), button = make("button", name);
    head.scope = "col";
    head.dataset.name = name;
    if (data.columns[name].numbers) head.dataset.numeric = "";
    head.ariaSort = "none";
    button.type = "button";
    head.append(button);
    row.append(head);
  }
  box.querySelector("thead").append(row);
  return new Listing(box, RUNS, new Set([...RUN_COLUMNS, "cell", ...Object.keys(data.same)]));
}

// ---------------------------------------------------------------- the runs behind a row of the summary

const TRAIL = {
  run_id: "run", seed: "seed", outcome: "outcome", status: "status", test_acc: "test accuracy (fraction)",
  test_error: "test error",
  train_loss: `training loss (${data.loss_unit})`, diverged_step: "diverged at step",
};

function trail(cell, width) {
  const names = Object.keys(TRAIL).filter(name => name in data.columns), table = make("table"), head = table.createTHead().insertRow();
  for (const name of names) head.append(make("th", TRAIL[name]));
  for (const run of RUNS.filter(run => run.value("cell") === cell)) {
    const row = table.insertRow();
    for (const name of names) row.insertCell().append(shownAs(name, run.value(name)));
  }
  const row = make("tr", "", "trail"), box = make("td");
  box.colSpan = width;
  box.append(table);
  row.append(box);
  return row;
}

function traced(listing) {
  const rows = new Map(listing.rows.map(row => [row.here, row]));
  listing.box.addEventListener("click", event => {
    const button = event.target.closest(".trace");
    if (!button) return;
    const row = rows.get(button.closest("tr"));
    if (row.trail) {
      row.trail.remove();
      row.trail = undefined;
    } else {
      row.trail = trail(Number(button.dataset.cell), row.here.cells.length);
      row.here.after(row.trail);
    }
    button.ariaExpanded = String(Boolean(row.trail));
  });
}

// ---------------------------------------------------------------- the page

const listings = new Map();
for (const box of document.querySelectorAll("[data-listing]")) {
  const name = box.dataset.listing;
  listings.set(name, name === "runs" ? everyRun(box) : written(box));
}
traced(listings.get("summary"));

// #runs?act=relu is the section `runs` with that filter; #contest-relu may be in something folded.
function visit() {
  const [id, filter] = location.hash.slice(1).split(/\?(.*)/s), target = document.getElementById(id);
  if (!target) return;
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (filter !== undefined) listings.get(id)?.filter(decodeURIComponent(filter));
  target.scrollIntoView();
}
addEventListener("hashchange", visit);
visit();

function theme(chosen) { // as the script in the head did before anything was drawn
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  for (const button of document.querySelectorAll(".theme button")) button.ariaPressed = String(button.dataset.theme === chosen);
}
for (const button of document.querySelectorAll(".theme button")) {
  button.addEventListener("click", () => {
    theme(button.dataset.theme);
    try { localStorage.setItem("initbench-theme", button.dataset.theme); } catch { /* some browsers forbid it to files */ }
  });
}
theme(document.documentElement.dataset.theme ?? "auto");

const links = new Map([...document.querySelectorAll(".contents li a")].map(link => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(entries => {
  for (const entry of entries.filter(entry => entry.isIntersecting)) {
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -85% 0px" });
for (const id of links.keys()) seen.observe(document.getElementById(id));

const folded = []; // on paper nobody can open them
addEventListener("beforeprint", () => {
  folded.push(...document.querySelectorAll("details:not([open], .numbers)"));
  for (const box of folded) box.open = true;
});
addEventListener("afterprint", () => {
  for (const box of folded.splice(0)) box.open = false;
});
