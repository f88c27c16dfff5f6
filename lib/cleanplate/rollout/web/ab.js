// The A/B page: two unlabelled results and the original, one key an image.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { items: [], at: 0 };
const outbox = new Outbox("/api/choice", showProgress, (error, entry) => {
  say(`${entry ? "refused" : "not stored yet, trying again"}: ${error.message}`);
  showProgress();
});
const me = () => $("reviewer").value.trim();

function say(text) {
  $("status").textContent = text;
}

function showProgress() {
  const done = state.items.filter((line) => line.done).length;
  $("bar").style.width = `${100 * done / Math.max(1, state.items.length)}%`;
  $("bar").parentElement.setAttribute("aria-valuemax", state.items.length);
  $("bar").parentElement.setAttribute("aria-valuenow", done);
  $("count").textContent = `${done} of ${state.items.length}` + (outbox.waiting.length ? `, ${outbox.waiting.length} being stored` : "");
  if (state.items.length && done === state.items.length && !outbox.waiting.length) say("All are judged. Thank you.");
}

const address = (line, side) => `/image/${line.key}/${side}?${new URLSearchParams({ reviewer: me() })}`;

function go(index) {
  if (!state.items.length) return;
  state.at = Math.min(Math.max(index, 0), state.items.length - 1);
  for (const side of ["left", "original", "right"]) $(side).src = address(state.items[state.at], side);
  const next = state.items[state.at + 1];
  if (next) for (const side of ["left", "original", "right"]) new Image().src = address(next, side);
  showProgress();
}

function choose(choice) {
  if (!me()) {
    say("Write your name first, at the top: it stands beside every verdict.");
    return $("reviewer").focus();
  }
  const line = state.items[state.at];
  line.done = true;
  outbox.put({ key: line.key, choice, reviewer: me(), at_ms: outbox.time() });
  const open = state.items.findIndex((other, index) => index > state.at && !other.done);
  const first = state.items.findIndex((other) => !other.done);
  go(open >= 0 ? open : first >= 0 ? first : state.at);
}

async function load() {
  try {
    const found = await request(`/api/queue?${new URLSearchParams({ reviewer: me() })}`);
    $("reviewer").value = me() || found.reviewer;
    state.items = found.items;
    if (me()) for (const line of (await request(`/api/queue?${new URLSearchParams({ reviewer: me() })}`)).items)
      state.items.find((other) => other.key === line.key).done = line.done;
    go(Math.max(0, state.items.findIndex((line) => !line.done)));
  } catch (error) {
    say(error.message);
  }
}

const KEYS = { 1: () => choose("1"), 2: () => choose("2"), "=": () => choose("="), n: () => go(state.at + 1), p: () => go(state.at - 1), ArrowRight: () => go(state.at + 1), ArrowLeft: () => go(state.at - 1) };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === $("reviewer") || !KEYS[event.key] || !state.items.length) return;
  event.preventDefault();
  KEYS[event.key]();
});
for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => choose(button.dataset.choice));
$("choose-1").addEventListener("click", () => choose("1"));
$("choose-2").addEventListener("click", () => choose("2"));
$("previous").addEventListener("click", () => go(state.at - 1));
// Another reviewer sees other sides.
$("reviewer").addEventListener("change", () => { localStorage.setItem("cleanplate-reviewer", me()); load(); });
$("reviewer").value = localStorage.getItem("cleanplate-reviewer") || "";
load();
