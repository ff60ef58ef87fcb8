"use strict";
const orders = document.getElementById("orders");
const said = document.getElementById("said");
const clock = document.getElementById("now");
let tag = "";

const open = () => new Set([...orders.querySelectorAll("article")].filter(a => a.querySelector("details[open]")).map(a => a.id));
const busy = () => orders.contains(document.activeElement) && document.activeElement.tagName === "INPUT";

async function look() {
  if (document.hidden || busy()) return;
  const answer = await fetch("/orders", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
  if (answer.status !== 200) return;
  tag = answer.headers.get("ETag") || "";
  const opened = open();
  orders.innerHTML = await answer.text();
  for (const id of opened) document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
}

async function tell() {
  const answer = await fetch("/now", { cache: "no-store" });
  if (answer.ok) clock.textContent = await answer.text();
}

document.addEventListener("submit", async event => {
  const form = event.target;
  if (!form.hasAttribute("data-quiet")) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = await answer.json();
    said.textContent = told.said || "";
    said.hidden = !told.said;
  } finally {
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
  if (document.activeElement) document.activeElement.blur();
  await Promise.all([look(), tell()]);
});

setInterval(() => look().catch(() => {}), 1000);
setInterval(() => tell().catch(() => {}), 15000);
document.addEventListener("visibilitychange", () => look().catch(() => {}));
