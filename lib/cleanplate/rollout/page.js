"use strict";
const cards = [...document.querySelectorAll("details.image")];
const shown = () => cards.filter((card) => !card.hidden);

for (const card of cards) {
  const stage = card.querySelector(".stage");
  if (!stage) continue;
  const range = stage.querySelector("input");
  if (range) {
    const cut = () => stage.style.setProperty("--cut", range.value + "%");
    range.addEventListener("input", cut);
    cut();
  }
  const views = card.querySelectorAll("[data-view]:is(button)");
  for (const button of views) button.addEventListener("click", () => {
    stage.dataset.view = button.dataset.view;
    for (const other of views) other.setAttribute("aria-pressed", String(other === button));
  });
  const marks = stage.querySelector(".marks");
  const boxes = card.querySelector("[data-boxes]");
  if (boxes) boxes.addEventListener("click", () => {
    boxes.setAttribute("aria-pressed", String(marks.classList.toggle("all")));
  });
  for (const row of card.querySelectorAll("tr[data-region]")) {
    const mark = marks && marks.querySelector(`rect[data-region="${row.dataset.region}"]`);
    if (!mark) continue;
    row.addEventListener("mouseenter", () => mark.classList.add("on"));
    row.addEventListener("mouseleave", () => mark.classList.remove("on"));
  }
}

const filters = [...document.querySelectorAll(".filters button")];
const find = document.querySelector(".find");
function filter() {
  const status = filters.find((button) => button.getAttribute("aria-pressed") === "true").dataset.status;
  const words = find.value.trim().toLowerCase();
  for (const card of cards)
    card.hidden = Boolean(status && card.dataset.status !== status) || !card.dataset.name.includes(words);
  const count = shown().length;
  document.querySelector(".empty").hidden = count > 0;
  document.querySelector(".shown").textContent = `${count} of ${cards.length} shown`;
}
for (const button of filters) button.addEventListener("click", () => {
  for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
  filter();
});
find.addEventListener("input", filter);
filter();

document.addEventListener("keydown", (event) => {
  if (event.target === find || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const list = shown();
  const here = list.findIndex((card) => card.contains(document.activeElement));
  const next = list[here < 0 ? 0 : here + step];
  if (next) next.querySelector("summary").focus();
});
