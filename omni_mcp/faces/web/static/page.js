// Keeps the page up to date while it is looked at. Everything else works without this file.
"use strict";

const language = document.documentElement.lang || "en";
const ago = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "narrow" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

// A link that lets this browser in carries its key behind the #, which is sent to nobody; it leaves the history too.
const enter = document.getElementById("enter");
if (enter && location.hash.length > 1) {
  enter.elements.key.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  enter.requestSubmit();
}

function tick() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS[3];
    const said = ago.format(-Math.trunc(seconds / size), unit);
    if (time.textContent !== said) time.textContent = said;
  }
}
tick();
setInterval(tick, 1000);

const trouble = document.getElementById("trouble");
const announcer = document.getElementById("announcer");

function tell(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

// What somebody types in stays; it is renewed when they have left it.
function inUse(section) {
  const fields = section.querySelectorAll("input:not([type=hidden]), textarea, select");
  return [...fields].some((field) => field === document.activeElement || (field.type === "checkbox" || field.type === "radio" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));
}

function renew(section, mark, inside) {
  if (section.dataset.mark === mark || inUse(section)) return;
  const focused = section.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && (focused.id ? "#" + CSS.escape(focused.id) : focused.getAttribute("href") && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
  const open = [...section.querySelectorAll("details[open][id]")].map((each) => each.id);
  const before = [...section.querySelectorAll("[data-announce]")].map((each) => each.dataset.announce).join(", ");
  section.innerHTML = inside;
  section.dataset.mark = mark;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (place) section.querySelector(place)?.focus();
  const said = [...section.querySelectorAll("[data-announce]")].map((each) => each.dataset.announce).join(", ");
  if (said && said !== before) announcer.textContent = said;
}

let source = null;

function follow() {
  source = new EventSource(document.body.dataset.follow);
  source.addEventListener("parts", (event) => {
    tell("");
    for (const [id, [mark, inside]] of Object.entries(JSON.parse(event.data))) {
      const section = document.getElementById(id);
      if (section) renew(section, mark, inside);
    }
    tick();
    document.body.dataset.followed = "yes";
  });
  source.addEventListener("trouble", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("left", () => location.reload());
  source.onerror = () => tell(document.body.dataset.lost);
}

// A browser keeps six connections to a server: a page that nobody looks at gives its own back.
function look() {
  if (document.hidden) {
    source?.close();
    source = null;
  } else if (!source) {
    follow();
  }
}

if (document.body.dataset.follow) {
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
  look();
}
