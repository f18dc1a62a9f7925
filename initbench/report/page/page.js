// ---------------------------------------------------------------- the page

const listings = new Map();
for (const box of document.querySelectorAll("[data-listing]:not(#runs-list)")) listings.set(box.dataset.listing, written(box));
traced(listings.get("summary"));

function whenNear(element, act) {
  const near = new IntersectionObserver(entries => {
    if (!entries.some(entry => entry.isIntersecting)) return;
    near.disconnect();
    act();
  }, { rootMargin: "800px 0px" });
  near.observe(element);
}
unpackFigures();
if (runs.packed) whenNear(document.getElementById("runs"), () => runs.with(() => {}));
else runs.with(() => {});

const packedCards = document.querySelector(".cards > .packed");
async function unpackCards() {
  if (packedCards?.isConnected) packedCards.parentElement.innerHTML = await unpacked(packedCards);
}
document.querySelector("details.all")?.addEventListener("toggle", unpackCards);

// #runs?act=relu is the section `runs` with that filter; #contest-relu may be in something folded, or packed.
async function visit() {
  const [id, filter] = location.hash.slice(1).split(/\?(.*)/s);
  if (id.startsWith("contest-") && !document.getElementById(id)) await unpackCards();
  const target = document.getElementById(id);
  if (!target) return;
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (filter !== undefined && id === "runs") runs.with((_, listing) => listing.filter(decodeURIComponent(filter)));
  else if (filter !== undefined) listings.get(id)?.filter(decodeURIComponent(filter));
  document.querySelector(".card.target")?.classList.remove("target"); // :target misses what was unpacked after the click
  if (target.matches(".card")) target.classList.add("target");
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
