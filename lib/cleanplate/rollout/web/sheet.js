// The static queue: verdicts by key, saved as a CSV that `cleanplate review --import` reads.
"use strict";

const cards = [...document.querySelectorAll("article")];
const columns = document.body.dataset.columns.split(",");
const reviewer = document.getElementById("reviewer");

function decide(card, verdict) {
  card.querySelector(`[value=${verdict}]`).checked = true;
  card.className = verdict;
  if (!card.dataset.at || card.dataset.verdict !== verdict) card.dataset.at = new Date().toISOString();
  card.dataset.verdict = verdict;
  document.getElementById("count").textContent = `${cards.filter((other) => other.dataset.verdict).length} of ${cards.length}`;
}

function step(by) {
  const here = cards.indexOf(document.activeElement.closest("article"));
  const next = cards[Math.min(Math.max(here + by, 0), cards.length - 1)];
  if (next) next.focus();
}

const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;

function save() {
  const lines = cards.map((card) => {
    const row = JSON.parse(card.dataset.row);
    Object.assign(row, { verdict: card.dataset.verdict || "", at: card.dataset.at || "", reviewer: reviewer.value.trim(), note: card.querySelector(".note").value });
    return columns.map((name) => quoted(row[name])).join(",");
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[columns.join(","), ...lines].join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = "verdicts.csv";
  link.click();
}

for (const card of cards)
  card.addEventListener("change", (event) => { if (event.target.type === "radio") decide(card, event.target.value); });
document.getElementById("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.target.tagName === "INPUT" && event.target.type !== "radio")) return;
  const card = document.activeElement.closest("article");
  if (event.key === "n") step(1);
  else if (event.key === "p") step(-1);
  else if (card && event.key === "a") { decide(card, "accept"); step(1); }
  else if (card && event.key === "r") { decide(card, "reject"); step(1); }
});
