// The form of a source: shows the options of the chosen kind, keeps the JSON in step with them,
// makes rows of lists, says a schedule in words, and starts previews beside the form. Without this
// script lists are typed one a line, the JSON stands for itself, and a preview has its own page.
"use strict";

const form = document.getElementById("source_form");
const kind = form?.querySelector("select[data-reads]");
const json = form?.querySelector("#id_options");
const repository = form?.querySelector("#id_repository");

// Kinds and their options.

function groupOf(parser) {
  return form.querySelector(`.parser-options[data-parser="${CSS.escape(parser)}"]`);
}

function inputsOf(parser) {
  return [...(groupOf(parser)?.querySelectorAll("[data-option]") ?? [])];
}

const FROM_GIT = ".field-revision, .field-credential, .field-link_template";
const ROWS = { paths: `.field-paths, .field-repository, ${FROM_GIT}`, start_url: ".field-start_url" };

function showKind() {
  const reads = JSON.parse(kind.dataset.reads)[kind.value];
  for (const [what, row] of Object.entries(ROWS)) {
    for (const element of form.querySelectorAll(row)) {
      element.hidden = Boolean(reads) && reads !== what && !element.classList.contains("errors");
    }
  }
  if (repository && !repository.value.trim()) {
    for (const element of form.querySelectorAll(FROM_GIT)) {
      element.hidden = !element.classList.contains("errors");
    }
  }
  for (const group of form.querySelectorAll(".parser-options")) {
    group.hidden = group.dataset.parser !== kind.value;
  }
}

let shownKind = kind?.value;

function changeKind() {
  const before = new Map(inputsOf(shownKind).map((input) => [input.dataset.option, input]));
  for (const input of inputsOf(kind.value)) {
    const same = before.get(input.dataset.option);
    if (same) {
      input.value = same.value;
      input.checked = same.checked;
      input.dispatchEvent(new Event("filled"));
    }
  }
  shownKind = kind.value;
  showKind();
  if (groupOf(kind.value)) {
    writeJson({});
  }
}

// The JSON, in step with the inputs.

function valueOf(input) {
  const text = input.value.trim();
  switch (input.dataset.kind) {
    case "switch":
      return input.checked === JSON.parse(input.dataset.default) ? undefined : input.checked;
    case "number": {
      const number = Number(text.replace(",", ".")) * Number(input.dataset.factor);
      return text === "" || Number.isNaN(number) ? undefined : input.dataset.type === "integer" ? Math.round(number) : number;
    }
    case "lines": {
      const lines = input.value.split("\n").map((line) => line.trim()).filter(Boolean);
      return lines.length ? lines : undefined;
    }
    default:
      return text === "" ? undefined : text;
  }
}

function readJson() {
  try {
    const found = JSON.parse(json.value || "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

function writeJson(rest = readJson()) {
  if (rest === null) {
    return; // it is wrong, and its field says so when the form is sent
  }
  for (const input of inputsOf(kind.value)) {
    const value = valueOf(input);
    if (value === undefined) {
      delete rest[input.dataset.option];
    } else {
      rest[input.dataset.option] = value;
    }
  }
  json.value = JSON.stringify(rest);
}

function fillFromJson() {
  const given = readJson();
  if (given === null) {
    return;
  }
  for (const input of inputsOf(kind.value)) {
    const value = given[input.dataset.option];
    if (input.dataset.kind === "switch") {
      input.checked = typeof value === "boolean" ? value : JSON.parse(input.dataset.default);
    } else if (input.dataset.kind === "lines") {
      input.value = Array.isArray(value) ? value.join("\n") : "";
    } else if (input.dataset.kind === "number") {
      input.value = typeof value === "number" ? value / Number(input.dataset.factor) : "";
    } else {
      input.value = value ?? "";
    }
    input.dispatchEvent(new Event("filled"));
  }
}

// Lists as rows.

function makeRows(area) {
  const rows = document.createElement("div");
  rows.className = "entries";
  area.hidden = true;
  area.after(rows);
  let isOurs = false; // a change that a row made
  const name = document.querySelector(`label[for="${area.id}"]`)?.textContent.replace(/:$/, "") ?? "";

  function note() {
    area.value = [...rows.querySelectorAll("input")].map((input) => input.value.trim()).filter(Boolean).join("\n");
    isOurs = true;
    area.dispatchEvent(new Event("change", { bubbles: true }));
    isOurs = false;
  }

  function row(text, hint) {
    const line = document.createElement("div");
    line.className = "entry";
    const input = document.createElement("input");
    input.type = "text";
    input.value = text;
    input.placeholder = hint;
    input.spellcheck = false;
    input.setAttribute("aria-label", `${name}, entry ${rows.childElementCount}`);
    if (area.getAttribute("aria-invalid") === "true") {
      input.setAttribute("aria-invalid", "true");
    }
    input.addEventListener("input", note);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "button tight";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${text || "this entry"} from ${name}`);
    remove.addEventListener("click", () => {
      line.remove();
      note();
      rows.querySelector("button.add").focus();
    });
    line.append(input, remove);
    rows.lastElementChild.before(line);
    return input;
  }

  function fill() {
    const add = document.createElement("button");
    add.type = "button";
    add.className = "button tight add";
    add.textContent = "Add";
    add.setAttribute("aria-label", `Add to ${name}`);
    add.addEventListener("click", () => row("", "").focus());
    const ends = Object.assign(document.createElement("div"), { className: "ends" });
    ends.append(add, ...rows.querySelectorAll(".beside"));
    rows.replaceChildren(ends);
    const hints = area.placeholder.split("\n").filter(Boolean);
    const texts = area.value.split("\n").filter(Boolean);
    texts.forEach((text) => row(text, ""));
    if (!texts.length && hints.length) {
      ends.before(Object.assign(document.createElement("p"), { className: "quiet small", textContent: `Default: ${hints.join(" ")}` }));
    }
  }

  area.addEventListener("filled", fill);
  area.addEventListener("change", () => isOurs || fill());
  fill();
}

// Schedule.

const PARTS = { schedule_minute: ["hourly"], schedule_day: ["weekly"], schedule_time: ["daily", "weekly"], schedule: ["custom"] };
let asked = 0;

function showSchedule(parts) {
  const chosen = form.querySelector("#id_schedule_kind").value;
  for (const [name, kinds] of Object.entries(PARTS)) {
    const row = parts.querySelector(`.field-${name}`);
    row.hidden = !kinds.includes(chosen) && !row.classList.contains("errors");
  }
}

async function saySchedule(parts) {
  const mine = ++asked;
  const query = new URLSearchParams([...new FormData(form)].filter(([name]) => name.startsWith("schedule")));
  try {
    const answer = await fetch(`${parts.dataset.words}?${query}`, { credentials: "same-origin" });
    if (answer.ok && mine === asked) {
      document.getElementById("schedule-words").textContent = await answer.text();
    }
  } catch {
    // The page says at its top that there is no contact.
  }
}

// Previews beside the form.

function clearErrors() {
  for (const list of form.querySelectorAll(".errorlist, .errornote")) {
    list.remove();
  }
  for (const row of form.querySelectorAll(".form-row.errors")) {
    row.classList.remove("errors");
  }
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
  }
}

function showErrors(errors) {
  const inputs = [];
  for (const [name, texts] of Object.entries(errors)) {
    const list = document.createElement("ul");
    list.className = "errorlist";
    list.append(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    const input = form.querySelector(`[name="${CSS.escape(name)}"]`);
    const row = input?.closest(".form-row");
    if (!row) {
      form.prepend(list);
      continue;
    }
    list.id = `id_${name}_error`;
    row.classList.add("errors");
    row.hidden = false;
    row.prepend(list);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", list.id);
    row.closest("details")?.setAttribute("open", "");
    inputs.push(input.hidden ? row.querySelector(".entries input, .entries button") : input);
  }
  inputs[0]?.focus();
}

function say(card, text) {
  const line = document.createElement("p");
  line.textContent = text;
  card.replaceChildren(card.querySelector("h2"), line);
}

function freshCard() {
  const old = document.getElementById("preview");
  const card = old.cloneNode(true);
  delete card.dataset.ended;
  delete card.dataset.live;
  old.replaceWith(card); // the looks at the old one end with it
  return card;
}

function watch(card, live) {
  card.dataset.live = live;
  card.dataset.pause = "500";
  refresh(card); // of pulse.js, which looks again until the preview has ended
}

// note() and keep() are of drafts.js, which fills the form in again.
function leadBack(card, answer) {
  const link = document.createElement("a");
  const here = location.pathname + location.search;
  if (answer.redirected) {
    note(form);
    link.href = `${document.getElementById("pulse").dataset.login}?next=${encodeURIComponent(here)}`;
    link.textContent = "Log in again";
    card.lastElementChild.replaceChildren("Your session has ended. ", link, ": what you have typed stays.");
  } else if (answer.status === 403) {
    link.href = here;
    link.textContent = "Load the page again";
    link.addEventListener("click", () => keep(note(form)));
    card.lastElementChild.replaceChildren("This page is older than your login. ", link, ": what you have typed stays.");
  }
}

async function startPreview(button) {
  const data = new FormData(form, button);
  const card = freshCard();
  card.setAttribute("aria-busy", "true");
  const line = document.createElement("p");
  line.append(Object.assign(document.createElement("span"), { className: "state state-running", textContent: "starting" }));
  card.replaceChildren(Object.assign(document.createElement("h2"), { textContent: "Preview of what is typed" }), line);
  button.disabled = true;
  card.scrollIntoView({ block: "nearest" });
  try {
    const answer = await fetch(location.href, { method: "POST", body: data, credentials: "same-origin", headers: { "X-Requested-With": "preview" } });
    const found = answer.ok && !answer.redirected ? await answer.json() : null;
    clearErrors();
    if (found?.errors) {
      showErrors(found.errors);
      say(card, "Nothing was read: correct what is marked, then try again.");
    } else if (found) {
      history.replaceState(null, "", found.form);
      watch(card, found.live);
    } else {
      say(card, "The server refused it.");
      leadBack(card, answer);
    }
  } catch {
    say(card, "No contact with the server: try again in a moment.");
  }
  card.removeAttribute("aria-busy");
  button.disabled = false;
}

function sendInBackground(event) {
  const sent = event.target;
  if (!sent.closest("#preview")) {
    return;
  }
  event.preventDefault();
  const again = sent.getAttribute("action").endsWith("/again/");
  if (again) {
    document.getElementById("preview-button").click();
  } else {
    event.submitter.disabled = true;
    fetch(sent.action, { method: "POST", body: new FormData(sent), credentials: "same-origin" });
  }
}

if (form && kind && json) {
  form.querySelectorAll("textarea[data-lines]").forEach(makeRows);
  kind.addEventListener("change", changeKind);
  repository?.addEventListener("input", showKind);
  showKind();
  form.addEventListener("change", (event) => {
    if (event.target === json) {
      fillFromJson();
    } else if (event.target.dataset.option) {
      writeJson();
    }
  });
  const parts = document.getElementById("schedule");
  showSchedule(parts);
  parts.addEventListener("change", () => {
    showSchedule(parts);
    saySchedule(parts);
  });
}
if (form && document.getElementById("preview")) {
  form.addEventListener("submit", (event) => {
    if (["_test", "_preview"].includes(event.submitter?.name)) {
      event.preventDefault();
      startPreview(event.submitter);
    }
  });
  document.addEventListener("submit", (event) => event.target !== form && sendInBackground(event));
}
