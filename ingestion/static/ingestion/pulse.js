// Asks every few seconds whether the server is there, and refreshes what pages show of the state.
//
// Parts with data-live are replaced by what their address answers, every data-pause milliseconds.
// Without contact, or after the login has ended, a line at the top says so until it is over; if what
// the page shows was deleted, it says so and stays.
"use strict";

const EVERY = 3000; // milliseconds between two questions
const PATIENCE = 4000; // milliseconds for an answer
const LONGEST_LINE = 140; // characters of a line about the state; the rest is in its title
const pulse = document.getElementById("pulse");
const lost = document.getElementById("lost");
// The answers after which a part is not asked for again, and what they mean.
const OVER = { 403: "Your roles no longer include this page", 404: "What this page shows was deleted" };
let lastContact = new Date();
let isOver = false;

async function ask(address) {
  const answer = await fetch(address, {
    credentials: "same-origin",
    signal: AbortSignal.timeout(PATIENCE),
    headers: { "X-Requested-With": "live" },
  });
  if (answer.redirected || answer.status === 401) {
    throw new LoggedOut();
  }
  if (answer.status in OVER) {
    throw new Over(OVER[answer.status]);
  }
  if (!answer.ok) {
    throw new Error(`status ${answer.status}`);
  }
  lastContact = new Date();
  lost.hidden = !isOver;
  return answer.text();
}

class LoggedOut extends Error {}
class Over extends Error {}

function sayLost(error) {
  if (isOver) {
    return;
  }
  if (error instanceof Over) {
    isOver = true;
    lost.textContent = `${error.message}, so it shows an earlier state.`;
  } else if (error instanceof LoggedOut) {
    const login = document.createElement("a");
    login.href = `${pulse.dataset.login}?next=${encodeURIComponent(location.pathname + location.search)}`;
    login.textContent = "Log in again";
    lost.replaceChildren("Your session has ended, so this page shows an earlier state. ", login);
  } else {
    const since = lastContact.toLocaleTimeString();
    lost.textContent = `No contact with the server since ${since}: this page shows an earlier state. It tries again by itself.`;
  }
  lost.hidden = false;
}

async function beat() {
  if (!document.hidden) {
    try {
      showPulse(JSON.parse(await ask(pulse.dataset.pulse)));
    } catch (error) {
      sayLost(error);
    }
  }
  setTimeout(beat, EVERY);
}

function showProblems(number) {
  for (const badge of document.querySelectorAll("[data-problems]")) {
    badge.firstChild.textContent = number;
    badge.hidden = !number;
  }
}

function showPulse(state) {
  // A page that shows the number itself sets it, so that both always agree.
  if (!document.querySelector("[data-problems-now]")) {
    showProblems(state.problems);
  }
  const list = document.createElement("ul");
  const good = state.checks.filter((check) => check.state === "ok");
  for (const check of state.checks.filter((one) => one.state !== "ok")) {
    list.append(pulseLine(check.state, check.name, check.text));
  }
  if (good.length) {
    const names = good.map((check) => check.name).join(", ");
    const line = pulseLine("ok", "ok", names);
    line.title = good.map((check) => `${check.name}: ${check.text}`).join("\n");
    list.append(line);
  }
  pulse.replaceChildren(list);
}

function pulseLine(state, word, text) {
  const item = document.createElement("li");
  const mark = document.createElement("span");
  mark.className = `state state-${state}`;
  mark.textContent = word;
  const isLong = text.length > LONGEST_LINE;
  const shown = isLong ? `${text.slice(0, LONGEST_LINE).replace(/\s+\S*$/, "")} …` : text;
  item.append(mark, " ", ...withCode(shown));
  item.title = isLong ? text : "";
  return item;
}

// What stands between backticks is a command.
function withCode(text) {
  return text.split(/`([^`]+)`/).map((part, place) => {
    if (place % 2 === 0) {
      return part;
    }
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

async function refresh(part) {
  if (!document.hidden && !isBusy(part)) {
    try {
      replace(part, await ask(part.dataset.live));
    } catch (error) {
      sayLost(error);
    }
  }
  if (part.isConnected && !("ended" in part.dataset) && !isOver) {
    setTimeout(refresh, Number(part.dataset.pause), part);
  }
}

function isBusy(part) {
  return part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
}

const shown = new WeakMap();

function replace(part, html) {
  if (shown.get(part) === html) {
    return;
  }
  shown.set(part, html);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const opened = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
  const closed = new Set([...part.querySelectorAll("details:not([open])[id]")].map((one) => one.id));
  const places = new Map(
    [...part.querySelectorAll(".scroll[id], ol.log[id]")].map((one) => [one.id, [one.scrollLeft, one.scrollTop]]),
  );
  part.innerHTML = html;
  for (const one of part.querySelectorAll("details[id]")) {
    one.open = opened.has(one.id) || (one.open && !closed.has(one.id));
  }
  for (const [id, place] of places) {
    document.getElementById(id)?.scrollTo(...place);
  }
  if (focused) {
    document.getElementById(focused)?.focus();
  }
  follow(part);
}

// What the answer says of itself: when to ask next, and whether this is the end.
function follow(part) {
  const pause = part.querySelector("[data-next-pause]");
  if (pause) {
    part.dataset.pause = pause.dataset.nextPause;
  }
  const problems = part.querySelector("[data-problems-now]");
  if (problems) {
    showProblems(Number(problems.dataset.problemsNow));
  }
  if (part.querySelector("[data-ended]")) {
    part.dataset.ended = "";
  }
}

for (const part of document.querySelectorAll("[data-live]")) {
  follow(part);
  if (!("ended" in part.dataset)) {
    setTimeout(refresh, "now" in part.dataset ? 0 : Number(part.dataset.pause), part);
  }
}
if (pulse) {
  beat();
}
