// Keeps what was typed into a form when its session had ended: after the login it is filled in again.
//
// A form is noted as it is sent. Only a page of the login keeps the note, for the page that it leads
// to; every other page throws it away.
"use strict";

const NOTE = "draft";
const SECRET = ["password", "file", "hidden"];

function fieldsOf(form) {
  return [...form.elements].filter((one) => one.name && !SECRET.includes(one.type) && one.type !== "submit");
}

function note(form) {
  const values = fieldsOf(form).map((one) => [one.name, one.value, one.checked ?? false]);
  if (values.length) {
    const draft = { path: location.pathname, form: form.id, values };
    sessionStorage.setItem(NOTE, JSON.stringify(draft));
  }
}

function fillIn(draft) {
  const form = document.getElementById(draft.form);
  if (!form) {
    return;
  }
  const left = [...draft.values];
  for (const field of fieldsOf(form)) {
    const place = left.findIndex(([name, value]) => name === field.name && (field.type !== "radio" || value === field.value));
    if (place < 0) {
      continue;
    }
    const [[, value, checked]] = left.splice(place, 1);
    if (field.type === "checkbox" || field.type === "radio") {
      field.checked = checked;
    } else {
      field.value = value;
    }
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
  const line = document.createElement("p");
  line.className = "draft";
  line.role = "status";
  line.textContent = "What you had typed is filled in again. It is not saved yet.";
  form.before(line);
}

function begin() {
  const isLogin = document.body.classList.contains("login");
  const kept = sessionStorage.getItem(NOTE);
  if (isLogin) {
    const next = new URLSearchParams(location.search).get("next") ?? "";
    const draft = JSON.parse(kept ?? "null");
    if (draft && next.split("?")[0] === draft.path) {
      sessionStorage.setItem(NOTE, JSON.stringify({ ...draft, due: true }));
    }
    return;
  }
  sessionStorage.removeItem(NOTE);
  const draft = JSON.parse(kept ?? "null");
  if (draft?.due && draft.path === location.pathname) {
    fillIn(draft);
  }
  for (const form of document.querySelectorAll("main form[method=post][id]")) {
    form.addEventListener("submit", () => note(form));
  }
}

document.addEventListener("DOMContentLoaded", begin);
