"use strict";

// ---------------------------------------------------------------- what is long is compressed in the page

function unpacked(element) { // the text of a <script class="packed">
  const bytes = Uint8Array.from(atob(element.textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

// ---------------------------------------------------------------- filters: words, and conditions such as depth>=20

const CONDITION = /^([^\s<>=!"]+)(<=|>=|!=|=|<|>)(.+)$/;

// A text in quotes is taken as it is; what is still being typed may lack the closing quote.
function unquoted(text) {
  try { return text.startsWith('"') ? JSON.parse(text) : text; } catch { return text.slice(1); }
}

// columns: by name, whether it holds shares, which are written in per cent: test_acc>90% and test_acc>0.9 are the same.
function parsed(text, columns) {
  const tests = [], wrong = [];
  for (const word of text.match(/(?:"(?:[^"\\]|\\.)*"?|[^\s"])+/g) ?? []) {
    const found = word.match(CONDITION);
    if (!found) {
      const wanted = unquoted(word).toLowerCase();
      tests.push(row => row.text().includes(wanted));
    } else if (!columns.has(found[1])) {
      wrong.push(`no column ${found[1]}; there is ${[...columns.keys()].join(", ")}`);
    } else {
      const [, name, relation, values] = found, share = columns.get(name).share;
      if (share && Math.abs(Number(values)) > 1) wrong.push(`${name} is a share: write ${name}${relation}${values}%`);
      const wanted = values.match(/"(?:[^"\\]|\\.)*"?|[^|"]+/g).map(unquoted).map(each => share ? fraction(each) : each);
      tests.push(row => holds(row.value(name), relation, wanted));
    }
  }
  if (/^[<>=]/.test(text.trim())) wrong.push(`of which column? There is ${[...columns.keys()].join(", ")}`);
  return { test: row => tests.every(test => test(row)), wrong };
}

function fraction(text) { return text.endsWith("%") ? String(Number(text.slice(0, -1)) / 100) : text; }

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
  // rest: gives the rows that are still packed, if there are any; count: of all rows.
  constructor(box, rows, columns, rest = null, count = rows.length) {
    Object.assign(this, { box, rows, columns, rest, count, from: 0, shown: rows, size: Number(box.dataset.page) });
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

  whole(then) { // once all rows are there
    if (!this.rest) return then();
    this.loading ??= this.rest().then(rows => { this.rows.push(...rows); this.rest = null; });
    return this.loading.then(then);
  }

  sort(head) { this.whole(() => this.sortWhole(head)); }

  sortWhole(head) {
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
    if (!this.rest || !this.wanted()) return this.choose();
    return this.whole(() => this.choose());
  }

  wanted() { return Boolean(this.input?.value || this.chips.some(chip => chip.ariaPressed === "true")); }

  choose() {
    this.shown = this.rows;
    if (this.input) this.filterRows();
    this.turn(0);
  }

  filterRows() {
    const { test, wrong } = parsed(this.input.value, this.columns);
    const pressed = Map.groupBy(this.chips.filter(chip => chip.ariaPressed === "true"), chip => chip.dataset.name);
    const wanted = [...pressed].map(([name, chips]) => [name, chips.map(chip => chip.dataset.value)]);
    this.shown = this.rows.filter(
      row => test(row) && wanted.every(([name, texts]) => texts.some(text => same(row.value(name), text))));
    this.said.classList.toggle("wrong", wrong.length > 0);
    const [shown, all] = [this.total, this.count].map(number => number.toLocaleString("en"));
    this.said.textContent = wrong[0] ?? (shown === all ? `${all} rows` : `${shown} of ${all} rows`);
  }

  get total() { return this.rest ? this.count : this.shown.length; } // rows that the filter leaves

  turn(from) { return from ? this.whole(() => this.show(from)) : this.show(from); }

  show(from) {
    this.from = from;
    const page = this.shown.slice(from, from + this.size);
    this.body.replaceChildren(...page.flatMap(row => [row.element(), ...(row.trail ? [row.trail] : [])]));
    this.pager.hidden = this.total <= this.size;
    if (this.pager.hidden) return;
    const step = (text, to) => {
      const button = make("button", text);
      button.type = "button";
      button.disabled = to < 0 || to >= this.total;
      button.addEventListener("click", () => this.turn(to));
      return button;
    };
    const last = Math.min(from + this.size, this.total);
    this.pager.replaceChildren(
      step("Previous", from - this.size), step("Next", from + this.size),
      make("span", `${(from + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${this.total.toLocaleString("en")}`));
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
  const columns = new Map(heads.map((head, place) =>
    [head.dataset.name, { place, numeric: "numeric" in head.dataset, share: "share" in head.dataset }]));
  const made = body => [...body.querySelectorAll(":scope > tr")].map(element => new WrittenRow(element, columns));
  const packed = box.querySelector(":scope > .packed");
  const rest = packed && (async () => {
    const body = document.createElement("tbody");
    body.innerHTML = await unpacked(packed);
    return made(body);
  });
  const listing = new Listing(box, made(box.querySelector("tbody")), columns, rest, Number(box.dataset.count));
  if (rest && listing.rows.length < listing.size) whenNear(box, () => listing.whole(() => listing.choose()));
  return listing;
}
