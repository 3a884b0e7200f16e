// Chooses paths of a source by looking: a button beside the paths opens a panel with the folders
// that the server shows. Without this script paths are typed.
"use strict";

function makePicker(area) {
  const rows = area.nextElementSibling; // of source_form.js
  const panel = document.createElement("section");
  const browse = document.createElement("button");
  let asked = 0;

  function paths() {
    return area.value.split("\n").map((line) => line.trim().replace(/^\.\/|\/+$/g, "")).filter(Boolean);
  }

  function isBelow(path, folder) {
    return folder === "." || path.startsWith(`${folder}/`);
  }

  function standing(path) {
    const chosen = paths();
    if (chosen.includes(path)) {
      return "in the list";
    }
    if (chosen.some((one) => isBelow(path, one))) {
      return "included";
    }
    return chosen.some((one) => isBelow(one, path)) ? "a part is in the list" : "";
  }

  function mark() {
    for (const button of panel.querySelectorAll("[data-choose]")) {
      const said = standing(button.dataset.choose);
      button.hidden = Boolean(said);
      const note = button.nextElementSibling ?? button.parentElement.appendChild(document.createElement("span"));
      note.className = "state state-off";
      note.textContent = said;
      note.hidden = !said;
    }
  }

  function choose(button) {
    area.value = [...paths(), button.dataset.choose].join("\n");
    area.dispatchEvent(new Event("change", { bubbles: true })); // the rows follow
    (panel.querySelector("[data-choose]:not([hidden])") ?? browse).focus();
  }

  async function open(path, hasFocus = true) {
    const mine = ++asked;
    const query = new URLSearchParams({ path });
    for (const name of ["parser", "repository", "revision", "credential"]) {
      query.set(name, document.getElementById(`id_${name}`)?.value ?? "");
    }
    panel.setAttribute("aria-busy", "true");
    const found = await read(`${area.dataset.folders}?${query}`);
    if (mine !== asked || panel.hidden) {
      return;
    }
    panel.removeAttribute("aria-busy");
    panel.innerHTML = found;
    mark();
    if (hasFocus) {
      (panel.querySelector(".folders .name") ?? panel.querySelector("button"))?.focus();
    }
  }

  async function read(address) {
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      if (answer.ok && !answer.redirected) {
        return await answer.text();
      }
      return answer.redirected ? "<p>Your session has ended: log in again.</p>" : "<p>The server refused it.</p>";
    } catch {
      return "<p>No contact with the server: try again in a moment.</p>";
    }
  }

  function show(isShown) {
    panel.hidden = !isShown;
    browse.setAttribute("aria-expanded", String(isShown));
    if (isShown) {
      panel.replaceChildren(Object.assign(document.createElement("p"), { className: "quiet", textContent: "Looking…" }));
      open("");
    } else {
      browse.focus();
    }
  }

  panel.className = "picker";
  panel.id = "picker";
  panel.hidden = true;
  panel.setAttribute("aria-label", "Folders to choose from");
  Object.assign(browse, { type: "button", className: "button tight beside", textContent: "Browse" });
  browse.setAttribute("aria-expanded", "false");
  browse.setAttribute("aria-controls", panel.id);
  browse.addEventListener("click", () => show(panel.hidden));
  panel.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.open !== undefined) {
      open(button.dataset.open);
    } else if (button?.dataset.choose) {
      choose(button);
    }
  });
  panel.addEventListener("keydown", (event) => event.key === "Escape" && show(false));
  area.addEventListener("change", mark);
  for (const name of ["parser", "repository", "revision", "credential"]) {
    document.getElementById(`id_${name}`)?.addEventListener("change", () => panel.hidden || open("", false));
  }
  rows.querySelector(".ends").append(browse);
  rows.after(panel);
}

const listed = document.querySelector("#source_form textarea[data-folders]");
if (listed?.nextElementSibling?.classList.contains("entries")) {
  makePicker(listed);
}
