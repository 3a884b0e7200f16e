// Chooses chunks, views and pages of a document without loading the page again.
//
// Every link works without this script. Here, what its address shows is fetched and takes the place
// of both sides. The arrow keys choose the previous and the next chunk.

const PART = "beside";
const TYPED_INTO = "input, textarea, select, [contenteditable]";
const beside = document.getElementById(PART);
let asked = 0;
let shown = 0;
let wanted = 0; // chunks to go on, forward or back, once the one that is fetched is there

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
    step(wanted);
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

function choose(link, address = link.href) {
  history.pushState(null, "", address);
  return show(address, link);
}

beside.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-choose]");
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
  if (link && plain) {
    event.preventDefault();
    wanted = 0;
    choose(link);
  }
});

// Choose the chunk that is so many after this one, or before it. While one is fetched, only count.
function step(by) {
  if (asked !== shown) {
    wanted += by;
    return;
  }
  wanted = 0;
  const link = by && beside.querySelector(`[data-step="${by > 0 ? "next" : "previous"}"]`);
  if (link) {
    const address = new URL(link.href);
    const there = Number(address.searchParams.get("chunk")) + by - Math.sign(by);
    const last = Number(beside.querySelector(".chunks").dataset.last);
    address.searchParams.set("chunk", Math.min(Math.max(there, 0), last));
    choose(link, address.href);
  }
}

document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const held = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!by || held || event.target.closest(TYPED_INTO) || scrollsSideways(event.target)) {
    return;
  }
  event.preventDefault();
  step(by);
});

function scrollsSideways(element) {
  const pane = element.closest(".pane, pre");
  return pane && pane.scrollWidth > pane.clientWidth;
}

window.addEventListener("popstate", () => show(location.href, null));
bringIntoView();
