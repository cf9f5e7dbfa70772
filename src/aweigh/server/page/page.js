"use strict";
// The page was made for the address that the browser named; behind a proxy the browser knows better.
for (const one of document.querySelectorAll("[data-origin]")) {
  one.textContent = one.textContent.split(one.dataset.origin).join(location.origin);
}
const form = document.querySelector("form");
if (form) {
  const body = form.querySelector("textarea");
  const button = form.querySelector("button");
  const told = form.querySelector("[data-told]");
  const out = form.querySelector("output");
  const send = async () => {
    button.disabled = true;
    told.textContent = "Asking\u2026";
    const begun = performance.now();
    try {
      const reply = await fetch("predict", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: body.value,
      });
      const text = await reply.text();
      const took = Math.round(performance.now() - begun);
      told.textContent = `${reply.status} ${reply.ok ? "OK" : "refused"}, ${took} ms`;
      out.dataset.state = reply.ok ? "good" : "bad";
      try { out.textContent = JSON.stringify(JSON.parse(text), null, 2); } catch { out.textContent = text; }
    } catch {
      told.textContent = "No answer";
      out.dataset.state = "bad";
      out.textContent = "The server could not be reached. Nothing was lost: send it again.";
    }
    button.disabled = false;
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
  });
}
