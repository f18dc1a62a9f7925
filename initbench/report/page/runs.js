// ---------------------------------------------------------------- runs: rows that are made when they are looked at

class Run {
  constructor(table, number) { Object.assign(this, { table, number }); }

  value(name) {
    const { columns, same } = this.table.data, column = columns[name];
    if (!column) return same[name];
    if (column.numbers) return column.numbers[this.number];
    return column.places[this.number] < 0 ? null : column.texts[column.places[this.number]];
  }

  text() { return this.words ??= this.table.names.map(name => this.value(name) ?? "").join("\n").toLowerCase(); }

  element() {
    const row = document.createElement("tr");
    for (const name of this.table.names) {
      const cell = make("td", "", this.table.data.columns[name].numbers ? "number" : "");
      cell.append(this.table.shown(name, this.value(name)));
      row.append(cell);
    }
    return row;
  }
}

class RunTable {
  constructor(data) {
    this.data = data;
    this.names = Object.keys(data.columns).filter(name => name !== "cell");
    this.runs = Array.from({ length: data.count }, (_, number) => new Run(this, number));
    this.shares = new Set(data.shares);
  }

  shown(name, value) {
    if (value === null || value === undefined) return make("span", "–", "none");
    if (name === this.data.init) return initializer(value, this.data.looks[value]);
    if (name === "outcome" || name === "status") return make("span", value, name === "outcome" || value !== "done" ? value : "");
    if (name === "run_id" || name === "stack_id") return make("span", value, "mono");
    if (this.shares.has(name)) return document.createTextNode(`${(100 * value).toFixed(2)} %`.replace("-", "−"));
    if (typeof value === "number") return document.createTextNode(shortened(value).replace("-", "−"));
    return document.createTextNode(value);
  }

  listing(box) {
    const row = document.createElement("tr"), columns = new Map();
    for (const name of this.names) {
      const head = make("th", "", this.data.columns[name].numbers ? "number" : ""), button = make("button", name);
      head.scope = "col";
      head.dataset.name = name;
      if (this.data.columns[name].numbers) head.dataset.numeric = "";
      head.ariaSort = "none";
      button.type = "button";
      head.append(button);
      row.append(head);
    }
    for (const name of [...this.names, "cell", ...Object.keys(this.data.same)]) columns.set(name, { share: this.shares.has(name) });
    box.querySelector("thead").append(row);
    return new Listing(box, this.runs, columns);
  }

  // The runs behind a row of the summary.
  trail(cell, width) {
    const names = this.data.trail.filter(name => name in this.data.columns), table = make("table"), head = table.createTHead().insertRow();
    for (const name of names) head.append(make("th", name));
    for (const run of this.runs.filter(run => run.value("cell") === cell)) {
      const row = table.insertRow();
      for (const name of names) row.insertCell().append(this.shown(name, run.value(name)));
    }
    const row = make("tr", "", "trail"), box = make("td");
    box.colSpan = width;
    box.append(table);
    row.append(box);
    return row;
  }
}

function shortened(value) {
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : String(Number(value.toPrecision(4)));
}

function initializer(label, look) {
  const name = make("span", "", "init"), space = "http://www.w3.org/2000/svg";
  const swatch = document.createElementNS(space, "svg"), use = document.createElementNS(space, "use");
  swatch.setAttribute("class", "swatch");
  swatch.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#look-${look}`);
  swatch.append(use);
  name.dataset.init = label;
  name.append(swatch, label);
  return name;
}

// What asks for the runs gets them once they are unpacked; at once where they are not packed.
const runs = {
  packed: document.getElementById("runs-data").matches(".packed"),
  with(use) {
    if (this.table) return use(this.table, this.listing);
    const element = document.getElementById("runs-data");
    const read = text => {
      this.table = new RunTable(JSON.parse(text));
      this.listing = this.table.listing(document.getElementById("runs-list"));
    };
    if (this.packed) return (this.loading ??= unpacked(element).then(read)).then(() => use(this.table, this.listing));
    read(element.textContent);
    return use(this.table, this.listing);
  },
};

function traced(listing) {
  const toggled = (row, button) => runs.with(table => {
    if (row.trail) {
      row.trail.remove();
      row.trail = undefined;
    } else {
      row.trail = table.trail(Number(button.dataset.cell), row.here.cells.length);
      row.here.after(row.trail);
    }
    button.ariaExpanded = String(Boolean(row.trail));
  });
  listing.box.addEventListener("click", event => {
    const button = event.target.closest(".trace");
    if (button) toggled(listing.rows.find(row => row.here === button.closest("tr")), button);
  });
}
