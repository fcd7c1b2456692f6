"use strict";
// Filter, order, search, and a large view. The state lies in the address, so
// a filtered view can be bookmarked or sent.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const one = (s) => document.querySelector(s);
  const all = (s) => [...document.querySelectorAll(s)];
  const cards = all(".piece"), rows = all("#rows tr");
  const state = { decision: "", class: "", beside: "", order: "worst", q: "" };
  const threshold = parseFloat(document.body.dataset.failAt);

  const matches = (e) =>
    (!state.decision || e.dataset.d === state.decision) &&
    (!state.class || e.dataset.c === state.class) &&
    (!state.beside || (state.beside === "differ" ? e.dataset.b !== "agree" : e.dataset.b === state.beside)) &&
    (!state.q || e.dataset.id.toLowerCase().includes(state.q.toLowerCase()));

  const number = (e, key) => (e.dataset[key] === undefined ? -1 : parseFloat(e.dataset[key]));
  const orders = {
    worst: (a, b) => a.dataset.n - b.dataset.n,
    near: (a, b) => Math.abs(number(a, "s") - threshold) - Math.abs(number(b, "s") - threshold),
    anomaly: (a, b) => number(b, "a") - number(a, "a"),
    id: (a, b) => a.dataset.id.localeCompare(b.dataset.id, undefined, { numeric: true }),
  };

  let ordered = "worst";
  function apply() {
    if (state.order !== ordered && orders[state.order]) {
      for (const [parent, items] of [[one("#cards"), cards], [one("#rows"), rows]]) {
        items.sort(orders[state.order]);
        parent.append(...items);
      }
      ordered = state.order;
    }
    let shown = 0, pictured = 0;
    for (const e of cards) { e.hidden = !matches(e); pictured += !e.hidden; }
    for (const e of rows) { e.hidden = !matches(e); shown += !e.hidden; }
    const narrowed = state.decision || state.class || state.beside || state.q;
    one("#none").hidden = pictured > 0 || !cards.length;
    one("#shown").textContent = narrowed ? `${shown} of ${rows.length} shown` : "";
    for (const b of all("[data-filter]")) {
      b.setAttribute("aria-pressed", String(b.dataset.filter === state.decision));
    }
    const query = new URLSearchParams();
    for (const key in state) {
      if (state[key] && !(key === "order" && state[key] === "worst")) query.set(key, state[key]);
    }
    const hash = query.toString();
    if (hash || /=/.test(location.hash)) {
      history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
    }
  }

  for (const b of all("[data-filter]")) {
    b.addEventListener("click", () => {
      if (b.dataset.filter === "unreadable") {
        const list = one("#unreadable");
        if (list) list.scrollIntoView({ block: "start" });
        return;
      }
      state.decision = state.decision === b.dataset.filter ? "" : b.dataset.filter;
      apply();
    });
  }
  const bind = (selector, key, event) => {
    const input = one(selector);
    if (input) input.addEventListener(event, () => { state[key] = input.value; apply(); });
    return input;
  };
  const inputs = {
    class: bind("#class", "class", "change"),
    beside: bind("#beside-filter", "beside", "change"),
    order: bind("#order", "order", "change"),
    q: bind("#search", "q", "input"),
  };
  if (/=/.test(location.hash)) {
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
      if (key in state) state[key] = value;
      if (inputs[key]) inputs[key].value = value;
    }
  }

  // Light and dark.
  const themed = (theme) => { if (theme) root.dataset.theme = theme; };
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  try { themed(localStorage.getItem("goma-theme")); } catch { /* no storage: as the system has it */ }
  one("#theme").addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    themed(next);
    try { localStorage.setItem("goma-theme", next); } catch { /* for this view only */ }
  });

  // The large view.
  const viewer = one("#viewer");
  let current = null;
  const visible = () => cards.filter((c) => !c.hidden);
  function show(card) {
    current = card;
    one("#viewer-id").textContent = card.dataset.id;
    one("#viewer-class").textContent = card.dataset.c;
    one("#viewer-badge").replaceChildren(card.querySelector(".badge").cloneNode(true));
    one("#viewer-pictures").replaceChildren(
      ...[...card.querySelectorAll("figure")].map((f) => f.cloneNode(true)));
    const link = card.querySelector(".link a");
    const large = one("#viewer-pictures .overlay img");
    if (link && large) {
      // The saved heatmap is sharper, where it still lies beside the page.
      const sharp = new Image();
      sharp.onload = () => {
        if (current !== card) return;
        large.src = sharp.src;
        // It has the colour bar below the photograph: the boxes keep their place.
        const boxes = large.parentElement.querySelector(".boxes");
        if (boxes) boxes.setAttribute("viewBox", `0 0 ${sharp.naturalWidth} ${sharp.naturalHeight}`);
      };
      sharp.src = link.getAttribute("href");
    }
    one("#viewer-facts").replaceChildren(
      ...[".gauge", "dl", ".regions", ".message", ".path"].map((s) => card.querySelector(s))
        .filter(Boolean).map((e) => e.cloneNode(true)));
    if (!viewer.open) viewer.showModal();
  }
  function step(by) {
    const list = visible(), next = list[list.indexOf(current) + by];
    if (next) show(next);
  }
  for (const card of cards) {
    card.addEventListener("click", (e) => { if (e.target.closest("figure")) show(card); });
    card.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && e.target === card) show(card);
    });
  }
  one("#previous").addEventListener("click", () => step(-1));
  one("#next").addEventListener("click", () => step(1));
  one("#close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (e) => { if (e.target === viewer) viewer.close(); });
  viewer.addEventListener("keydown", (e) => {
    if (e.key === "ArrowLeft") step(-1);
    if (e.key === "ArrowRight") step(1);
  });
  viewer.addEventListener("close", () => { if (current) current.focus(); });

  apply();
})();
