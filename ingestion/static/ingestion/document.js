// Chooses chunks, views and pages of a document without loading the page again.
//
// Every link works without this script. Here, what its address shows is fetched and takes the place
// of both sides. The arrow keys choose the previous and the next chunk.

const PART = "beside";
const TYPED_INTO = "input, textarea, select, [contenteditable]";
const beside = document.getElementById(PART);
let asked = 0;
let shown = 0;
const waiting = []; // steps that were asked for while a chunk was fetched

async function show(address, focused) {
  asked += 1;
  const mine = asked;
  let fetched;
  try {
    fetched = await load(address);
  } catch {
    location.assign(address);
    return;
  }
  if (mine === asked) {
    shown = mine;
    replaceWith(fetched, focused);
    step(waiting.shift());
  }
}

async function load(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const part = page.getElementById(PART);
  if (!answer.ok || answer.redirected || !part) {
    throw new Error(`status ${answer.status}`);
  }
  return part;
}

function replaceWith(part, focused) {
  const opened = document.getElementById("as-stored")?.open;
  beside.replaceChildren(...part.childNodes);
  const stored = document.getElementById("as-stored");
  if (stored && opened) {
    stored.open = true;
  }
  bringIntoView();
  if (focused) {
    refocus(focused);
    bringOriginalIntoView();
  }
}

// The place of the chunk at the top third of its pane, and the chunk in the list; the page stays.
function bringIntoView() {
  const place = document.getElementById("chosen") ?? document.querySelector(".line.hit");
  const chunk = document.getElementById("this-chunk");
  for (const [one, share] of [[place, 0.2], [chunk, 0.3]]) {
    const pane = one?.closest(".pane");
    if (pane && pane.scrollHeight > pane.clientHeight) {
      const top = one.getBoundingClientRect().top - pane.getBoundingClientRect().top + pane.scrollTop;
      pane.scrollTop = top - share * pane.clientHeight;
    }
  }
}

// On a narrow window the original is above the chunks, maybe far above.
function bringOriginalIntoView() {
  const original = beside.querySelector(".original");
  if (original.getBoundingClientRect().bottom < 100) {
    original.scrollIntoView();
  }
}

// Where the keyboard was: on a step or a view again, otherwise on the chosen chunk.
function refocus(focused) {
  const taken = focused.dataset.step;
  const same = taken ? `[data-step="${taken}"]` : focused.closest(".tabs") ? ".tabs [aria-current]" : "";
  const there = (same && beside.querySelector(same)) || beside.querySelector("#this-chunk > a");
  there?.focus({ preventScroll: true });
}

function choose(link) {
  history.pushState(null, "", link.href);
  return show(link.href, link);
}

beside.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-choose]");
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
  if (link && plain) {
    event.preventDefault();
    waiting.length = 0;
    choose(link);
  }
});

// Follow the link to the previous or next chunk, after the one that is being fetched.
function step(direction) {
  if (direction && asked !== shown) {
    waiting.push(direction);
  } else if (direction) {
    const link = beside.querySelector(`[data-step="${direction}"]`);
    link ? choose(link) : step(waiting.shift());
  }
}

document.addEventListener("keydown", (event) => {
  const direction = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  const held = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!direction || held || event.target.closest(TYPED_INTO) || scrollsSideways(event.target)) {
    return;
  }
  event.preventDefault();
  step(direction);
});

function scrollsSideways(element) {
  const pane = element.closest(".pane, pre");
  return pane && pane.scrollWidth > pane.clientWidth;
}

window.addEventListener("popstate", () => show(location.href, null));
bringIntoView();
