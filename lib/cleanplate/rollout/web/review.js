// The review page: one image at a time, every step by a key.
"use strict";

const $ = (id) => document.getElementById(id);
const VIEWS = [["compare", "compare"], ["before", "before"], ["after", "after"], ["side", "side by side"], ["mask", "mask"], ["confidence", "confidence"], ["diff", "difference"]];
const state = { items: [], at: 0, item: null, run: "", view: "compare", painting: false };
const brush = new Brush($("canvas"), $("cursor"));
const outbox = new Outbox("/api/verdict", stored, refused);
let loading = 0;

function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  if (text !== "") element.textContent = text;
  if (name) element.className = name;
  return element;
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

const me = () => $("reviewer").value.trim();
const number = (value, digits = 2) => (value === null || value === undefined ? "" : Number(value).toFixed(digits));
const plain = (name) => String(name ?? "").replaceAll("_", " ");
const url = (view, run = state.run, key = state.item.key) => `/image/${key}/${encodeURIComponent(run)}/${view}`;

// What counts of an image for me: my last decision on any of its results.
function mine(line) {
  const found = Object.values(line.standings);
  if (found.some((standing) => standing.accepted_by.includes(me()))) return "accept";
  return found.some((standing) => standing.rejected_by.includes(me())) ? "reject" : "";
}

const inConflict = (line) => Object.values(line.standings).some((standing) => standing.decision === "conflict");

function showProgress() {
  const done = state.items.filter((line) => mine(line)).length;
  $("bar").style.width = `${100 * done / Math.max(1, state.items.length)}%`;
  $("bar").parentElement.setAttribute("aria-valuemax", state.items.length);
  $("bar").parentElement.setAttribute("aria-valuenow", done);
  $("count").textContent = `${done} of ${state.items.length}` + (outbox.waiting.length ? `, ${outbox.waiting.length} being stored` : "");
}

function fillRow(row, line) {
  row.replaceChildren(make("i", "", `dot ${mine(line) || "open"}`), make("span", line.image_id, "name"), make("small", line.reasons[0] || ""));
  if (inConflict(line)) row.append(make("b", "conflict", "flag"));
  row.classList.toggle("here", state.items[state.at] === line);
}

function showList() {
  $("list").replaceChildren(...state.items.map((line, index) => {
    const row = make("li");
    row.id = `row-${line.key}`;
    fillRow(row, line);
    row.addEventListener("click", () => go(index));
    return row;
  }));
  showProgress();
}

function update(line) {
  const index = state.items.findIndex((other) => other.key === line.key);
  if (index < 0) return;
  state.items[index] = { ...state.items[index], ...line };
  const row = $(`row-${line.key}`);
  if (row) fillRow(row, state.items[index]);
  showProgress();
}

// Shows an image; an answer that comes late, when another one is asked for, is dropped.
async function go(index, run = "") {
  if (!state.items.length) return;
  stopPainting();
  const before = state.items[state.at];
  state.at = Math.min(Math.max(index, 0), state.items.length - 1);
  const line = state.items[state.at];
  if (before) fillRow($(`row-${before.key}`), before);
  fillRow($(`row-${line.key}`), line);
  $(`row-${line.key}`).scrollIntoView({ block: "nearest" });
  const ticket = ++loading;
  let item;
  try {
    item = await request(`/api/item/${line.key}`);
  } catch (error) {
    if (ticket === loading) say(error.message, "bad");
    return;
  }
  if (ticket !== loading) return;
  const isSame = state.item && state.item.key === item.key;
  state.item = item;
  state.run = run || (isSame && item.runs.includes(state.run) ? state.run : item.runs[item.runs.length - 1]);
  $("note").value = "";
  if (!isSame) slide(middle());
  update(item);
  show();
  ahead();
}

// The pictures of the next image, so that it is there when it is asked for.
function ahead() {
  const next = state.items[state.at + 1];
  if (!next) return;
  for (const view of ["before", "after"]) new Image().src = url(view, next.runs[next.runs.length - 1], next.key);
}

// Where the slider starts, in percent: amid what was removed, so that both states of it show.
function middle() {
  const found = candidate();
  const regions = found.regions.filter((region) => region.decision !== "kept");
  if (!regions.length || !found.width) return 50;
  const sum = regions.reduce((total, region) => total + (region.left + region.right) / 2, 0);
  return Math.min(Math.max(100 * sum / regions.length / found.width, 8), 92);
}

const candidate = () => state.item.candidates.find((found) => found.run_id === state.run);

function show() {
  const found = candidate();
  const stage = $("stage");
  stage.style.setProperty("--ratio", found.width && found.height ? found.width / found.height : 1.5);
  const isPlain = !["compare", "side"].includes(state.view);
  stage.dataset.view = state.view;
  stage.hidden = state.view === "side";
  $("side").hidden = state.view !== "side";
  $("before").src = url(isPlain && !state.painting ? state.view : "before");
  $("after").src = state.view === "compare" ? url("after") : "";
  if (state.view === "side") showSide();
  $("views").replaceChildren(...VIEWS.map(([name, words], index) => {
    const button = make("button");
    button.type = "button";
    button.append(make("kbd", String(index + 1)), ` ${words}`);
    button.setAttribute("aria-pressed", String(name === state.view));
    button.addEventListener("click", () => setView(name));
    return button;
  }));
  showFacts(found);
}

function showSide() {
  const original = make("figure");
  const picture = make("img");
  picture.src = url("before");
  picture.alt = "original";
  original.append(picture, make("figcaption", "original"));
  $("side").replaceChildren(original, ...state.item.candidates.map((found, index) => {
    const figure = make("figure", "", found.run_id === state.run ? "here" : "");
    const result = make("img");
    result.src = url("after", found.run_id);
    result.alt = `candidate ${index + 1}`;
    figure.append(result, make("figcaption", `${index + 1}. ${found.run_id} · ${found.status} · ${number(found.confidence)}`));
    figure.addEventListener("click", () => choose(found.run_id));
    return figure;
  }));
}

function setView(name) {
  stopPainting();
  state.view = name;
  show();
}

function choose(run) {
  state.run = run;
  show();
}

function showFacts(found) {
  const item = state.item;
  const facts = $("facts");
  facts.replaceChildren(make("h2", item.image_id), make("p", item.batch_id, "soft"));
  const reasons = make("ul", "", "reasons");
  reasons.append(...item.reasons.map((reason) => make("li", reason)));
  facts.append(reasons, make("h3", "Candidates"));
  facts.append(...item.candidates.map((other, index) => candidateRow(other, index)));
  if (found.reason) facts.append(make("p", found.reason, "callout"));
  facts.append(make("h3", "Regions and attempts"), ...found.regions.map(regionBlock));
  if (!found.regions.length) facts.append(make("p", "nothing was found", "soft"));
  facts.append(make("h3", "Verdicts"), ...item.history.map(historyRow));
  if (!item.history.length) facts.append(make("p", "none yet", "soft"));
}

function candidateRow(other, index) {
  const standing = state.item.standings[other.run_id] || { accepted_by: [], rejected_by: [] };
  const row = make("button", "", "candidate");
  row.type = "button";
  row.setAttribute("aria-pressed", String(other.run_id === state.run));
  row.append(make("b", `${index + 1}. ${index ? "corrected mask" : "as cleaned"}`), make("small", `${other.run_id} · ${other.status} · confidence ${number(other.confidence)}`));
  if (standing.accepted_by.length) row.append(make("small", `accepted by ${standing.accepted_by.join(", ")}`, "good"));
  if (standing.rejected_by.length) row.append(make("small", `rejected by ${standing.rejected_by.join(", ")}`, "bad"));
  if (standing.decision === "conflict") row.append(make("b", "reviewers disagree: nothing is published of it", "flag"));
  row.addEventListener("click", () => choose(other.run_id));
  return row;
}

function regionBlock(region) {
  const block = make("div", "", "region");
  const head = make("p");
  head.append(make("b", `${region.region_id}. ${plain(region.kind)}`), ` ${region.decision}, found with ${number(region.score)}`);
  block.append(head);
  if (region.reason) block.append(make("p", region.reason, "soft"));
  if (region.transcript) block.append(make("p", `reads “${region.transcript}”`, "soft"));
  if (region.attempts.length) block.append(attemptTable(region.attempts));
  return block;
}

// The attempts of a region side by side: a column each, a row for every score.
function attemptTable(attempts) {
  const table = make("table");
  const row = (name, values, tag = "td") => {
    const line = make("tr");
    line.append(make("th", name), ...values.map((value) => make(tag, value)));
    table.append(line);
  };
  row("attempt", attempts.map((attempt) => plain(attempt.engine)), "th");
  row("confidence", attempts.map((attempt) => number(attempt.confidence)));
  for (const name of [...new Set(attempts.flatMap((attempt) => Object.keys(attempt.scores)))].sort())
    row(plain(name), attempts.map((attempt) => number(attempt.scores[name], 3)));
  if (attempts.some((attempt) => attempt.failures.length))
    row("failed", attempts.map((attempt) => attempt.failures.map(plain).join(", ")));
  const scroll = make("div", "", "scroll");
  scroll.append(table);
  return scroll;
}

function historyRow(entry) {
  const row = make("p", "", `verdict ${entry.verdict}`);
  row.append(make("b", entry.verdict === "corrected" ? "corrected the mask" : `${entry.verdict}ed`), ` ${entry.reviewer}, ${entry.at} · ${entry.run_id}`);
  if (entry.note) row.append(make("small", entry.note));
  return row;
}

function decide(verdict) {
  if (!state.item) return;
  if (!me()) return askName();
  const line = state.items[state.at];
  const entry = { key: line.key, run_id: state.run, verdict, reviewer: me(), at_ms: outbox.time(), note: $("note").value };
  const standing = line.standings[state.run] || { accepted_by: [], rejected_by: [] };
  const without = (names) => names.filter((name) => name !== me());
  line.standings[state.run] = {
    accepted_by: without(standing.accepted_by).concat(verdict === "accept" ? [me()] : []),
    rejected_by: without(standing.rejected_by).concat(verdict === "reject" ? [me()] : []),
    decision: standing.decision,
  };
  outbox.put(entry);
  update(line);
  say(`${line.image_id} ${verdict}ed`);
  const open = state.items.findIndex((other, index) => index > state.at && !mine(other));
  const first = state.items.findIndex((other) => !mine(other));
  go(open >= 0 ? open : first >= 0 ? first : state.at + 1);
}

function stored(line, entry) {
  update(line);
  if (state.item && state.item.key === line.key) refresh();
  showProgress();
}

function refused(error, entry) {
  const what = entry ? `the verdict on ${(state.items.find((line) => line.key === entry.key) || {}).image_id} was refused` : "not stored yet, trying again";
  say(`${what}: ${error.message}`, "bad");
  showProgress();
}

// The facts again, without moving anything that the reviewer is looking at.
async function refresh() {
  const key = state.item.key;
  const item = await request(`/api/item/${key}`).catch(() => null);
  if (!item || !state.item || state.item.key !== key) return;
  state.item = item;
  showFacts(candidate());
}

function askName() {
  say("Write your name first, at the top: it stands beside every verdict.", "bad");
  $("reviewer").focus();
}

async function startPainting() {
  if (!state.item) return;
  if (state.view === "side") state.view = "compare";
  state.painting = true;
  document.body.classList.add("painting");
  $("stage").dataset.painting = "yes";
  $("tools").hidden = $("canvas").hidden = $("cursor").hidden = false;
  show();
  const key = state.item.key;
  try {
    await brush.load(`/mask/${key}/${encodeURIComponent(state.run)}`);
  } catch (error) {
    say("the mask cannot be loaded", "bad");
    return stopPainting();
  }
  if (!state.painting || state.item.key !== key) return;
  showTools();
  $("canvas").focus({ preventScroll: true });
  say("Paint what is to go; e switches to erasing, z takes a stroke back, g cleans again.");
}

function stopPainting() {
  if (!state.painting) return;
  brush.end();
  state.painting = false;
  document.body.classList.remove("painting");
  delete $("stage").dataset.painting;
  $("tools").hidden = $("canvas").hidden = $("cursor").hidden = true;
  show();
}

function showTools() {
  $("mode").replaceChildren(make("kbd", "e"), brush.erases ? " erasing" : " adding");
  $("mode").setAttribute("aria-pressed", String(brush.erases));
  $("size").value = brush.size;
  brush.move(brush.at);
}

async function runAgain() {
  if (!state.item) return;
  if (!me()) return askName();
  if (!state.painting) {
    await startPainting();
    return say("This is the mask: correct it, then press g again.");
  }
  const { key, image_id: name } = state.item;
  const png = await brush.toPng();
  say(`${name}: being cleaned again …`, "busy");
  try {
    const query = new URLSearchParams({ reviewer: me(), at_ms: outbox.time() });
    const task = await request(`/api/again/${key}/${encodeURIComponent(state.run)}?${query}`, {
      method: "POST", body: png, headers: { "Content-Type": "image/png" },
    });
    stopPainting();
    await follow(task, key, name);
  } catch (error) {
    say(`${name}: ${error.message}`, "bad");
  }
}

async function follow(task, key, name) {
  while (task.state === "running") {
    await new Promise((done) => setTimeout(done, 400));
    task = await request(`/api/task/${task.task}`);
  }
  if (task.state === "failed") return say(`${name}: cleaning again failed: ${task.message}`, "bad");
  update(await request(`/api/item/${key}`));
  const isHere = state.item && state.item.key === key;
  if (isHere) {
    state.view = "compare";
    await go(state.at, task.run_id);
  }
  return say(`${name}: cleaned again as ${task.run_id}${task.message ? `: ${task.message}` : ""}; accept or reject it${isHere ? "" : " when you come back to it"}.`, "good");
}

async function publish() {
  if (!me()) return askName();
  $("publish").disabled = true;
  say("publishing the verdicts …", "busy");
  try {
    const done = await request("/api/publish", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reviewer: me() }),
    });
    say(done.message, "good");
  } catch (error) {
    say(error.message, "bad");
  }
  $("publish").disabled = false;
}

function slide(value) {
  $("slider").value = value;
  $("stage").style.setProperty("--cut", `${$("slider").value}%`);
}

const KEYS = {
  a: () => decide("accept"), r: () => decide("reject"), n: () => go(state.at + 1), p: () => go(state.at - 1),
  ArrowRight: () => go(state.at + 1), ArrowLeft: () => go(state.at - 1), g: runAgain,
  b: () => (state.painting ? stopPainting() : startPainting()), m: () => $("note").focus(),
  c: () => choose(state.item.runs[(state.item.runs.indexOf(state.run) + 1) % state.item.runs.length]),
  "[": () => slide(Number($("slider").value) - 5), "]": () => slide(Number($("slider").value) + 5),
};
const PAINT_KEYS = {
  ArrowRight: (event) => brush.step(1, 0, event.shiftKey), ArrowLeft: (event) => brush.step(-1, 0, event.shiftKey),
  ArrowUp: (event) => brush.step(0, -1, event.shiftKey), ArrowDown: (event) => brush.step(0, 1, event.shiftKey),
  " ": () => brush.toggle(), e: () => { brush.end(); brush.erases = !brush.erases; },
  "+": () => brush.resize(1.25), "=": () => brush.resize(1.25), "-": () => brush.resize(0.8), z: () => brush.undo(),
  Escape: stopPainting,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isText = event.target === $("note") || event.target === $("reviewer");
  if (isText) {
    if (event.key === "Escape" || event.key === "Enter") event.target.blur();
    return;
  }
  const isButton = event.target.tagName === "BUTTON" && event.key === " ";
  const step = (state.painting && PAINT_KEYS[event.key]) || KEYS[event.key];
  const view = VIEWS[Number(event.key) - 1];
  if (isButton || !(step || view) || !state.item) return;
  event.preventDefault();
  if (step) step(event);
  else setView(view[0]);
  if (state.painting && brush.base && PAINT_KEYS[event.key]) showTools();
});

$("slider").addEventListener("input", () => slide($("slider").value));
$("size").addEventListener("input", () => { brush.size = Number($("size").value); brush.move(brush.at); });
$("mode").addEventListener("click", () => { PAINT_KEYS.e(); showTools(); });
$("undo").addEventListener("click", () => brush.undo());
$("reviewer").addEventListener("change", () => { localStorage.setItem("cleanplate-reviewer", me()); showList(); });
for (const [id, step] of [["accept", KEYS.a], ["reject", KEYS.r], ["next", KEYS.n], ["previous", KEYS.p], ["brush", KEYS.b], ["again", runAgain], ["publish", publish]])
  $(id).addEventListener("click", (event) => { event.currentTarget.blur(); step(); });

(async function start() {
  try {
    const found = await request("/api/queue");
    $("reviewer").value = localStorage.getItem("cleanplate-reviewer") || found.reviewer;
    $("title").textContent = document.title = found.title;
    state.items = found.items;
    showList();
    if (!state.items.length) return say("Nothing waits for a person.");
    const open = state.items.findIndex((line) => !mine(line));
    await go(Math.max(open, 0));
  } catch (error) {
    say(error.message, "bad");
  }
})();
