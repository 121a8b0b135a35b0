"use strict";
(() => {
  const made = (name, properties, ...inside) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...inside);
    return element;
  };
  const folded = (text) => text.toLocaleLowerCase();

  // Tables: headings sort, by keyboard, too.
  const value = (cell) => {
    const told = cell.dataset.sort ?? cell.textContent.trim();
    const number = Number(told.replace(/[,%\s]/g, ""));
    return told !== "" && Number.isFinite(number) ? number : folded(told);
  };
  const compared = (a, b) =>
    typeof a === typeof b ? (typeof a === "number" ? a - b : a.localeCompare(b)) : typeof a === "number" ? -1 : 1;
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = made("button", { type: "button" });
      button.append(made("span", {}, ...heading.childNodes));
      heading.append(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") === "descending" ||
          (!heading.hasAttribute("aria-sort") && !heading.matches(".n, .wide"));
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].filter((row) => !row.classList.contains("sum"));
        const last = [...body.rows].filter((row) => row.classList.contains("sum"));
        const keys = new Map(rows.map((row) => [row, value(row.cells[column])]));
        rows.sort((a, b) => (up ? 1 : -1) * compared(keys.get(a), keys.get(b)));
        body.append(...rows, ...last);
      });
    });
  }

  // Filters: of long tables by what stands in a row, of pictures by class and by what is said of them.
  const search = (label) => {
    const input = made("input", { type: "search", size: 14 });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && input.value) {
        input.value = "";
        input.dispatchEvent(new Event("input"));
        event.preventDefault();
      }
    });
    return [made("label", {}, label, input), input];
  };
  for (const table of document.querySelectorAll("table[data-filter]")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 16) continue;
    const [label, input] = search("Filter ");
    const told = made("output", {});
    const texts = new Map(rows.map((row) => [row, folded(row.textContent)]));
    input.addEventListener("input", () => {
      const wanted = folded(input.value.trim());
      let shown = 0;
      for (const row of rows) {
        row.hidden = !texts.get(row).includes(wanted);
        shown += !row.hidden;
      }
      told.textContent = wanted ? `${shown} of ${rows.length}` : "";
    });
    table.parentElement.before(made("div", { className: "tools" }, label, told));
  }

  const FIRST = 24;
  for (const gallery of document.querySelectorAll(".gallery")) {
    const cards = [...gallery.children];
    if (cards.length < 9) continue;
    const classes = new Map(cards.map((card) => [card, card.dataset.classes.split("\n").filter(Boolean)]));
    const counts = new Map();
    for (const names of classes.values()) for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    const chosen = made("select", {}, made("option", { value: "" }, "all"));
    const names = [...counts.keys()].sort((a, b) => a.localeCompare(b));
    names.forEach((name, index) => chosen.append(made("option", { value: String(index + 1) }, `${name} (${counts.get(name)})`)));
    const [label, input] = search("Filter ");
    const told = made("output", {});
    const more = made("button", { type: "button" });
    const texts = new Map(cards.map((card) => [card, folded(card.textContent)]));
    let all = false;
    const show = () => {
      const wanted = folded(input.value.trim());
      const name = chosen.value ? names[Number(chosen.value) - 1] : null;
      const fitting = cards.filter((card) =>
        (name === null || classes.get(card).includes(name)) && texts.get(card).includes(wanted));
      const shown = new Set(all ? fitting : fitting.slice(0, FIRST));
      for (const card of cards) card.hidden = !shown.has(card);
      told.textContent = `${shown.size} of ${fitting.length}`;
      more.hidden = fitting.length <= FIRST;
      more.textContent = all ? `Show ${FIRST}` : `Show all ${fitting.length}`;
    };
    more.addEventListener("click", () => { all = !all; show(); });
    chosen.addEventListener("change", show);
    input.addEventListener("input", show);
    const tools = made("div", { className: "tools" }, label);
    if (names.length > 1) tools.append(made("label", {}, "Class ", chosen));
    tools.append(told, more);
    gallery.before(tools);
    addEventListener("beforeprint", () => { for (const card of cards) card.hidden = false; });
    addEventListener("afterprint", show);
    show();
  }

  // Pictures far below come when the rest is there; a print has all of them.
  const all = () => { for (const image of document.images) image.loading = "eager"; };
  addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(all));
  addEventListener("beforeprint", all);

  const closed = [...document.querySelectorAll("details")];
  addEventListener("beforeprint", () => closed.forEach((element) => { element.open = true; }));
  addEventListener("afterprint", () => closed.forEach((element) => { element.open = false; }));

  // "/" goes to the next filter.
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) return;
    const inputs = [...document.querySelectorAll("input[type=search]")];
    const next = inputs.find((input) => input.getBoundingClientRect().top > 0) ?? inputs[0];
    if (next) {
      next.focus();
      event.preventDefault();
    }
  });
})();
