// ---------------------------------------------------------------- one initializer stands out, in figures and tables

const highlight = {
  label: null,
  sheet: document.head.appendChild(document.createElement("style")),
  toggle(label) {
    this.label = label === this.label ? null : label;
    const mine = `[data-init="${CSS.escape(this.label ?? "")}"]`;
    this.sheet.textContent = this.label === null ? "" : `
      figure svg [data-init]:not(${mine}) { opacity: .13; }
      figure svg g${mine} text { font-weight: 700; }
      .init${mine} { background: var(--tint); outline: 2px solid var(--link); border-radius: 3px; }
      .listing tr:has(> td > .init${mine}) { background: var(--tint); }`;
    for (const key of document.querySelectorAll(".key")) key.ariaPressed = String(key.dataset.init === this.label);
    for (const figure of document.querySelectorAll("figure")) veil(figure, this.label);
  },
};

document.addEventListener("click", event => {
  const named = event.target.closest("[data-init]");
  if (named && named.dataset.init && !event.target.closest("a, button:not(.key), summary")) highlight.toggle(named.dataset.init);
});

// Rows of points and of tiles are not elements of their own: a veil lies over all but one.
function veil(figure, label) {
  figure.querySelectorAll(".veil").forEach(old => old.remove());
  if (label === null) return;
  for (const panel of panelsOf(figure)) {
    panel.rows.forEach((row, number) => {
      if (row === label || !panel.veiled) return;
      const shade = document.createElementNS("http://www.w3.org/2000/svg", "rect"), [x, y, width] = panel.box;
      for (const [name, value] of Object.entries({ class: "veil", x, y: y + panel.top(number), width, height: panel.high })) shade.setAttribute(name, value);
      panel.element.append(shade);
    });
  }
}

// ---------------------------------------------------------------- panels: where they lie, and what their scales are

class Panel {
  constructor(element, tiles) {
    Object.assign(this, { element, tiles }, JSON.parse(element.dataset.axes));
    const unit = this.box[3] / Math.abs(this.y.ends[1] - this.y.ends[0]); // points per unit of the vertical axis
    if (tiles) {
      const [, high, gap] = tiles.size, above = -this.y.ends[1];
      this.rows = tiles.labels;
      this.high = high * unit;
      this.top = number => (above + number * (high + gap)) * unit;
    } else {
      this.high = unit;
      this.top = number => number * unit;
    }
    this.veiled = tiles || !element.querySelector("[data-cell]"); // cells fade by themselves
  }

  holds({ x, y }) {
    const [left, top, width, height] = this.box;
    return x >= left - 4 && x <= left + width + 4 && y >= top - 4 && y <= top + height + 4;
  }

  value(axis, place) { // what a place between 0 and 1 stands for
    const { ends: [low, high], log } = this[axis];
    return log ? low * (high / low) ** place : low + (high - low) * place;
  }

  at({ x, y }) {
    const [left, top, width, height] = this.box;
    return { x: this.value("x", (x - left) / width), y: this.value("y", 1 - (y - top) / height) };
  }

  get points() { // the dots of its rows, or the corners of its lines: each with the one before it, and whose they are
    return this.found ??= this.rows.length ? this.dots() : [...this.element.querySelectorAll("g[data-init]")].flatMap(linesOf);
  }

  dots() {
    const drawn = [...this.element.querySelectorAll("use")].filter(use => !use.closest("[id*='matplotlib.axis']"));
    return drawn.map(use => {
      const at = { x: Number(use.getAttribute("x")), y: Number(use.getAttribute("y")) };
      return { at, before: at, label: this.rows[Math.floor((at.y - this.box[1]) / this.high)] };
    });
  }

  said(point) {
    if (this.tiles) return this.tileSaid(point);
    let best = null, nearest = NEAR;
    for (const each of this.points) {
      const distance = fromLine(point, each.before, each.at);
      if (distance < nearest) [best, nearest] = [each, distance];
    }
    if (!best) return null;
    const [end] = [best.at, best.before].sort((a, b) => Math.hypot(a.x - point.x, a.y - point.y) - Math.hypot(b.x - point.x, b.y - point.y));
    if (!this.holds(end)) return null;
    const { x, y } = this.at(end), parts = [`${this.x.name} ${numberText(x, this.x.share)}`];
    if (this.y.name) parts.push(`${this.y.name} ${numberText(y, this.y.share)}`);
    if (best.line) parts.push(best.line);
    return `${best.label}: ${parts.join(", ")}`;
  }

  tileSaid(point) {
    const { size: [width, height, gap], titles, labels, steps, rows, down } = this.tiles, { x, y } = this.at(point);
    const [column, line] = [Math.floor(x / (width + gap)), Math.floor(y / (height + gap))];
    const [across, below] = [(x - column * (width + gap)) / width, (y - line * (height + gap)) / height];
    if (!(column in titles) || !(line in labels) || across >= 1 || below >= 1) return null;
    const pick = (values, place) => values[Math.floor(place * values.length)];
    const where = `${labels[line]}, ${titles[column]}: step ${pick(steps[column], across)}, ${down} ${pick(rows[column], 1 - below)}`;
    const value = this.colourAt(point);
    return value === null ? where : `${where}, ${value}`;
  }

  colourAt(point) { // what the pixel's colour stands for; null where there is no colour
    const image = this.element.querySelector("image");
    this.loading ??= pixelsOf(image).then(pixels => { this.pixels = pixels; });
    if (!this.pixels) return null;
    const place = new DOMPoint(point.x, point.y).matrixTransform(image.getCTM().inverse().multiply(image.ownerSVGElement.getCTM()));
    const box = image.getBBox();
    const [x, y] = [(place.x - box.x) / box.width * this.pixels.width, (place.y - box.y) / box.height * this.pixels.height].map(Math.floor);
    const [red, green, blue, alpha] = this.pixels.data.slice(4 * (y * this.pixels.width + x));
    if (!alpha) return null;
    const colours = this.colours ??= this.tiles.colours.map(hex => [1, 3, 5].map(start => parseInt(hex.slice(start, start + 2), 16)));
    const far = colours.map(colour => Math.hypot(colour[0] - red, colour[1] - green, colour[2] - blue));
    const shade = far.indexOf(Math.min(...far)), [low, high] = this.tiles.ends, share = shade / (colours.length - 1);
    const value = this.tiles.log ? low * (high / low) ** share : low + (high - low) * share;
    const beyond = share === 0 ? ["min", "both"] : share === 1 ? ["max", "both"] : [];
    const sign = beyond.includes(this.tiles.beyond) ? (share ? "at least" : "at most") : "about";
    return `${sign} ${this.tiles.share ? `${Math.round(100 * value)} %` : String(Number(value.toPrecision(2)))}`.replace("-", "−");
  }
}

async function pixelsOf(image) {
  const canvas = document.createElement("canvas"), copy = new Image();
  copy.src = image.href.baseVal;
  await copy.decode();
  [canvas.width, canvas.height] = [copy.naturalWidth, copy.naturalHeight];
  const paper = canvas.getContext("2d");
  paper.drawImage(copy, 0, 0);
  return paper.getImageData(0, 0, canvas.width, canvas.height);
}

function numberText(value, share) {
  if (share) return `${(100 * value).toFixed(1)} %`;
  const near = Math.round(value);
  return String(Math.abs(value - near) < 0.004 * Math.abs(value) && near ? near : Number(value.toPrecision(3))).replace("-", "−");
}

const NEAR = 9; // points from a line, within which it is meant

function linesOf(group) {
  const { init: label, line } = group.dataset;
  return [...group.querySelectorAll(":scope > path")].flatMap(path => {
    let before = null;
    return [...path.getAttribute("d").matchAll(/([ML]) (\S+) (\S+)/g)].map(([, command, x, y]) => {
      const at = { x: Number(x), y: Number(y) }, corner = { at, before: command === "M" ? at : before, label, line };
      before = at;
      return corner;
    });
  });
}

function fromLine(point, from, to) { // the distance to the nearest point between two
  const [x, y] = [to.x - from.x, to.y - from.y], square = x * x + y * y;
  const part = square ? Math.max(0, Math.min(1, ((point.x - from.x) * x + (point.y - from.y) * y) / square)) : 0;
  return Math.hypot(point.x - from.x - part * x, point.y - from.y - part * y);
}

const PANELS = new WeakMap();
function panelsOf(figure) {
  if (!PANELS.has(figure)) {
    const tiles = figure.dataset.tiles && JSON.parse(figure.dataset.tiles);
    PANELS.set(figure, [...figure.querySelectorAll("svg:not(.frozen) [data-axes]")].map(element => new Panel(element, tiles)));
  }
  return PANELS.get(figure);
}

// ---------------------------------------------------------------- large figures are unpacked when they are near, or in idle time

async function unpackFigure(element) {
  if (!element.isConnected || element.dataset.begun) return;
  element.dataset.begun = "";
  const svg = await unpacked(element), figure = element.closest("figure");
  element.outerHTML = svg;
  PANELS.delete(figure);
  veil(figure, highlight.label);
}
function unpackFigures() {
  const packed = [...document.querySelectorAll(".sheet > .packed")];
  for (const element of packed) whenNear(element.parentElement, () => unpackFigure(element));
  const idle = globalThis.requestIdleCallback ?? (act => setTimeout(act, 200));
  const next = () => { if (packed.length) unpackFigure(packed.shift()).then(() => idle(next)); };
  addEventListener("load", () => idle(next)); // so that all are there when somebody prints
}

// ---------------------------------------------------------------- what a pointer is at

const tip = document.body.appendChild(make("div", "", "tip"));
tip.setAttribute("role", "status");
tip.hidden = true;

function pointed(event) {
  const svg = event.target.closest?.("figure svg[role=img]"), text = svg && saidAt(svg, event);
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${event.clientY - height - 12 < 0 ? event.clientY + 18 : event.clientY - height - 12}px`;
}

function saidAt(svg, event) {
  const cell = event.target.closest("[data-cell]");
  if (cell) return `${cell.dataset.init}: ${cell.dataset.cell}`;
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return panelsOf(svg.closest("figure")).find(panel => panel.holds(point))?.said(point) ?? null;
}
addEventListener("pointermove", pointed);
addEventListener("pointerdown", pointed);
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
