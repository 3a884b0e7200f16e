// Shows only the fields that the chosen parser needs, and writes what is chosen for an option into
// the JSON of the options. Without this script all fields are shown, and the JSON is typed.
"use strict";

function showFieldsOf(select) {
  const reads = JSON.parse(select.dataset.reads)[select.value];
  const rows = { paths: ".field-paths", start_url: ".field-start_url" };
  for (const [kind, row] of Object.entries(rows)) {
    for (const element of document.querySelectorAll(row)) {
      element.hidden = Boolean(reads) && reads !== kind && !element.classList.contains("errors");
    }
  }
  for (const help of document.querySelectorAll(".parser-help")) {
    help.hidden = help.dataset.parser !== select.value;
  }
}

function optionsIn(field) {
  try {
    const found = JSON.parse(field.value || "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

function chooseOption(choice, field) {
  const options = optionsIn(field);
  if (options === null) {
    field.focus(); // it has to be corrected first
    choice.value = "";
    return;
  }
  delete options[choice.dataset.option];
  if (choice.value) {
    options[choice.dataset.option] = choice.value;
  }
  field.value = JSON.stringify(options);
}

function offerChoices(field) {
  const given = optionsIn(field) || {};
  for (const choice of document.querySelectorAll(".option-choice")) {
    choice.value = given[choice.dataset.option] || "";
    choice.addEventListener("change", () => chooseOption(choice, field));
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const select = document.querySelector("select[data-reads]");
  if (select) {
    select.addEventListener("change", () => showFieldsOf(select));
    showFieldsOf(select);
  }
  const field = document.querySelector("#id_options");
  if (field) {
    offerChoices(field);
  }
});
