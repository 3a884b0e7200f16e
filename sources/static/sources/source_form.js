// Shows only the fields that the chosen parser needs. Without this script all of them are shown.
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

document.addEventListener("DOMContentLoaded", () => {
  const select = document.querySelector("select[data-reads]");
  if (select) {
    select.addEventListener("change", () => showFieldsOf(select));
    showFieldsOf(select);
  }
});
