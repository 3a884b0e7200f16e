// Refreshes the parts of a page with data-live, as long as the page is visible.
// Without this script the page shows the state when it was loaded.
"use strict";

async function refresh(part) {
  if (!document.hidden) {
    try {
      const answer = await fetch(part.dataset.live, { credentials: "same-origin" });
      if (answer.redirected) {
        return; // the login has ended
      }
      if (answer.ok) {
        replace(part, await answer.text());
      }
    } catch {
      // The server does not answer now; the next try may work.
    }
  }
  setTimeout(refresh, Number(part.dataset.pause), part);
}

function replace(part, html) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = part.querySelector(".scroll")?.scrollLeft;
  const read = new Map([...part.querySelectorAll("ol.log")].map((log) => [log.id, log.scrollTop]));
  part.innerHTML = html;
  if (focused) {
    document.getElementById(focused)?.focus();
  }
  if (scrolled) {
    part.querySelector(".scroll").scrollLeft = scrolled;
  }
  for (const [id, top] of read) {
    document.getElementById(id)?.scrollTo(0, top);
  }
  if (part.querySelector("[data-ended]")) {
    location.reload(); // the rest of the page now shows how it ended
  }
  const pause = part.querySelector("[data-next-pause]");
  if (pause) {
    part.dataset.pause = pause.dataset.nextPause;
  }
}

for (const part of document.querySelectorAll("[data-live]")) {
  const first = part.id === "overview" || part.id === "run-live" ? Number(part.dataset.pause) : 0;
  setTimeout(refresh, first, part);
}
