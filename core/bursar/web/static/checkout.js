"use strict";
(() => {
  const words = {
    // What a provider's own window says is a hint to look again, and nothing more: 2.x words, then 1.x ones.
    processing: true, settled: true, expired: true, invalid: true, paid: true, complete: true, confirmed: true,
  };
  let main = document.getElementById("checkout");
  let stream = null;
  // The server's clock counts, not the device's.
  let skew = 0;

  const twoDigits = (number) => String(number).padStart(2, "0");

  function tick() {
    const line = main.querySelector(".countdown");
    if (!line) return;
    const left = Math.max(0, Number(line.dataset.expires) - Math.floor(Date.now() / 1000 + skew));
    const hours = Math.floor(left / 3600);
    const text = `${hours ? hours + ":" : ""}${twoDigits(Math.floor(left / 60) % 60)}:${twoDigits(left % 60)}`;
    const time = line.querySelector("time");
    if (time.textContent !== text) time.textContent = text;
    if (left === 0 && !line.dataset.done) {
      line.dataset.done = "yes";
      setTimeout(refresh, 1500);
    }
  }

  let refreshing = false;
  async function refresh() {
    if (refreshing) return;
    refreshing = true;
    try {
      const answer = await fetch(main.dataset.base, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = fresh.getElementById("checkout");
      if (next && (next.dataset.version !== main.dataset.version || next.dataset.state !== main.dataset.state)) {
        const held = main.contains(document.activeElement) ? document.activeElement.id : null;
        document.title = fresh.title;
        main.replaceWith(next);
        main = next;
        ready();
        say();
        // Who reads by keyboard stays where they were, or at the news where that place is gone.
        if (held !== null) ((held && document.getElementById(held)) || main.querySelector("h1")).focus({ preventScroll: true });
      }
    } catch {
      // Offline for a moment: the stream connects again by itself.
    } finally {
      refreshing = false;
    }
  }

  // The region that is read aloud stays in the page, and only its text changes: a new region would not be read.
  function say() {
    const words = [main.querySelector("h1"), main.querySelector(".status .text"), main.querySelector(".sums")];
    document.getElementById("said").textContent = words.map((word) => (word ? word.textContent : "")).join(". ");
  }

  function listen() {
    if (!window.EventSource || main.dataset.final === "yes") return;
    stream = new EventSource(`${main.dataset.base}/events`);
    stream.addEventListener("order", (event) => {
      if (event.data !== main.dataset.version) refresh();
    });
    stream.addEventListener("error", () => {
      // Lost connections come back by themselves; a stream that was refused (by a proxy, while the server starts) does not.
      if (stream && stream.readyState === EventSource.CLOSED) setTimeout(async () => { await refresh(); listen(); }, 5000);
    });
  }

  function modal() {
    const link = document.getElementById("hosted");
    if (!link || !link.dataset.invoice) return;
    link.addEventListener("click", (event) => {
      if (!window.btcpay) return;
      event.preventDefault();
      window.btcpay.onModalReceiveMessage((message) => {
        const status = message && message.data && message.data.status;
        if (typeof status === "string" && words[status.toLowerCase()]) refresh();
      });
      window.btcpay.onModalWillLeave(refresh);
      window.btcpay.showInvoice(link.dataset.invoice);
    });
  }

  function ready() {
    skew = Number(main.dataset.now) - Date.now() / 1000;
    for (const button of main.querySelectorAll(".copy")) {
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(button.dataset.copy);
          button.textContent = "Copied";
        } catch {
          const output = button.parentElement.querySelector("output");
          getSelection().selectAllChildren(output);
          button.textContent = "Selected";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 1600);
      });
    }
    const form = main.querySelector("form.start");
    if (form) form.addEventListener("submit", () => {
      const button = form.querySelector("button[type=submit]");
      setTimeout(() => { button.disabled = true; button.textContent = "One moment …"; }, 0);
    });
    const live = main.querySelector(".live");
    if (live) live.hidden = false;
    if (main.dataset.final === "yes" && stream) { stream.close(); stream = null; }
    modal();
    tick();
  }

  ready();
  listen();
  setInterval(tick, 500);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && main.dataset.final !== "yes") refresh(); });
})();
