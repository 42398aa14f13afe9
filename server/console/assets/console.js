"use strict";
// Signs in with the code behind the link's #, which no server and no log ever sees; and keeps a page as new as what it shows.
// Without it everything works by hand: the code is typed, the page is loaded again.

const form = document.querySelector("form[data-sign-in]");
const code = location.hash.slice(1);
if (form && code) {
  history.replaceState(null, "", location.pathname);
  form.elements.code.value = code;
  form.submit();
}

const REST_MS = 2000, AGAIN_MS = 10000;
let state = null, loading = false, again = false;

async function renew() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    if (answer.status === 403) location.reload();
    if (answer.ok) show(await answer.text());
  } catch {
    // The next change, or the person, tries again.
  }
  setTimeout(() => {
    loading = false;
    if (again) renew();
  }, REST_MS);
}

function show(text) {
  const main = document.querySelector("main");
  const open = [...main.querySelectorAll("details[open][id]")].map((found) => found.id);
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  for (const id of open) fresh.querySelector("#" + CSS.escape(id))?.setAttribute("open", "");
  if (fresh.innerHTML !== main.innerHTML) main.replaceChildren(...document.adoptNode(fresh).childNodes);
}

function watch() {
  const sign = document.getElementById("live");
  const source = new EventSource("/console/stream");
  source.addEventListener("open", () => { sign.hidden = false; });
  source.addEventListener("changed", (event) => {
    if (state !== null && event.data !== state) renew();
    state = event.data;
  });
  source.addEventListener("error", () => {
    sign.hidden = true;
    if (source.readyState !== EventSource.CLOSED) return;
    renew(); // where the session has ended, the page goes with it
    setTimeout(watch, AGAIN_MS);
  });
}

if ("live" in document.body.dataset) watch();
