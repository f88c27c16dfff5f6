// Requests of the page, and verdicts that are kept until the server has stored them.
"use strict";

async function request(path, options = {}) {
  const headers = { "X-Cleanplate": "review", ...(options.headers || {}) };
  const answer = await fetch(path, { credentials: "same-origin", ...options, headers });
  const body = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (answer.ok) return body;
  const error = new Error(typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail));
  error.status = answer.status;
  throw error;
}

// What is not stored yet survives a reload of the page. A verdict that is sent twice counts once, by its time.
class Outbox {
  constructor(path, onStored, onRefused) {
    this.path = path;
    this.name = `cleanplate-outbox-${path}`;
    this.onStored = onStored;
    this.onRefused = onRefused;
    this.waiting = JSON.parse(localStorage.getItem(this.name) || "[]");
    this.last = Date.now();
    this.busy = false;
    addEventListener("beforeunload", (event) => { if (this.waiting.length) event.preventDefault(); });
    this.flush();
  }

  // A time that no other verdict of this page has.
  time() {
    this.last = Math.max(Date.now(), this.last + 1);
    return this.last;
  }

  put(entry) {
    this.waiting.push(entry);
    this.save();
    this.flush();
  }

  save() {
    localStorage.setItem(this.name, JSON.stringify(this.waiting));
  }

  async flush() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length) {
      const entry = this.waiting[0];
      try {
        const stored = await request(this.path, {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(entry),
        });
        this.waiting.shift();
        this.save();
        this.onStored(stored, entry);
      } catch (error) {
        if (error.status >= 400 && error.status < 500 && error.status !== 401) {
          this.waiting.shift();
          this.save();
          this.onRefused(error, entry);
        } else {
          this.onRefused(error, null);
          await new Promise((done) => setTimeout(done, 3000));
        }
      }
    }
    this.busy = false;
  }
}
