// The little that htmx leaves to do: a ticket from a link's fragment, and details that stay open.
"use strict";

const ticket = location.hash.slice(1);
const login = document.getElementById("login");
if (login && ticket) {
  document.getElementById("key").value = ticket;
  document.getElementById("hint").textContent = "The link from your terminal is filled in.";
  history.replaceState(null, "", location.pathname + location.search);
}

let open = [];
document.addEventListener("htmx:beforeSwap", () => {
  open = [...document.querySelectorAll("details[open][id]")].map((one) => one.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
});
