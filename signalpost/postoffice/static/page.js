// What htmx alone cannot do without inline script: empty a sent form, mark the chosen row, say what is wrong.
(() => {
  "use strict";
  const say = (text) => {
    const notice = document.getElementById("notice");
    notice.textContent = text;
    notice.hidden = !text;
  };
  let lost = false;
  document.addEventListener("htmx:sendError", () => { lost = true; say("The post office does not answer. Trying again."); });
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.requestConfig.verb === "get") return;
    let text = event.detail.xhr.responseText;
    try { text = JSON.parse(text).error || text; } catch { /* shown as it came */ }
    say(String(text).slice(0, 300));
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) return;
    if (lost || event.detail.requestConfig.verb === "post") { lost = false; say(""); }
    const form = event.detail.elt;
    if (form.matches && form.matches("form[data-reset]")) form.reset();
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (!row) return;
    for (const other of row.parentElement.querySelectorAll(".on")) other.classList.remove("on");
    row.classList.add("on");
  });
})();
