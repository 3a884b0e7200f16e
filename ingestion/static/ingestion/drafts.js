// Keeps what was typed into a form when its session had ended: after the login it is filled in again.
//
// A form is noted as it is sent, or as the line about the ended session is followed. Only a page of the
// login and the one that refuses an old form keep the note, for the page that they lead to; every other
// page throws it away.
"use strict";

const NOTE = "draft";
const SECRET = ["password", "file", "hidden"];
let typedInto = null; // the form

function fieldsOf(form) {
  return [...form.elements].filter((one) => one.name && !SECRET.includes(one.type) && one.type !== "submit");
}

function note(form) {
  const values = fieldsOf(form).map((one) => [one.name, one.value, one.checked ?? false]);
  const draft = { path: location.pathname, query: location.search, form: form.id, values };
  if (values.length) {
    sessionStorage.setItem(NOTE, JSON.stringify(draft));
  }
  return draft;
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

function keep(draft) {
  sessionStorage.setItem(NOTE, JSON.stringify({ ...draft, due: true }));
}

function begin() {
  const isLogin = document.body.classList.contains("login");
  const again = document.getElementById("form-again"); // on the page that refuses an old form
  const draft = JSON.parse(sessionStorage.getItem(NOTE) ?? "null");
  if (isLogin) {
    const next = new URLSearchParams(location.search).get("next") ?? "";
    if (draft && next.split("?")[0] === draft.path) {
      keep(draft);
    }
    return;
  }
  if (again && draft) {
    keep(draft);
    again.href = draft.path + draft.query;
    again.hidden = false;
    return;
  }
  sessionStorage.removeItem(NOTE);
  if (draft?.due && draft.path === location.pathname) {
    fillIn(draft);
  }
  for (const form of document.querySelectorAll("main form[method=post][id]")) {
    form.addEventListener("submit", () => note(form));
    for (const kind of ["input", "change"]) {
      form.addEventListener(kind, () => (typedInto = form));
    }
  }
  document.getElementById("lost")?.addEventListener("click", (event) => {
    if (event.target.closest("a") && typedInto) {
      note(typedInto);
    }
  });
}

document.addEventListener("DOMContentLoaded", begin);
