"use strict";
(() => {
  const keyOf = (row, column) => {
    const key = row.cells[column].dataset.key;
    if (key === undefined || key === "") return null;
    return key.trim() !== "" && Number.isFinite(Number(key)) ? Number(key) : key;
  };

  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number"
      ? one - other
      : String(one).localeCompare(String(other), "en", { numeric: true });

  const sort = (table, heading) => {
    const headings = [...heading.parentElement.cells];
    const column = headings.indexOf(heading);
    const numbers = heading.classList.contains("number");
    const now = heading.getAttribute("aria-sort");
    // Numbers start with the largest, words with the first.
    const next = now === null ? (numbers ? "descending" : "ascending")
      : now === "ascending" ? "descending" : "ascending";
    for (const each of headings) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", next);
    const sign = next === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row, place) => ({ row, place, key: keyOf(row, column) }));
    keyed.sort((one, other) => {
      if (one.key === null || other.key === null)
        return (one.key === null) - (other.key === null) || one.place - other.place;
      return sign * compare(one.key, other.key) || one.place - other.place;
    });
    for (const { row } of keyed) body.append(row);
  };

  const filter = (input) => {
    const table = document.getElementById(input.dataset.filters);
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    const shown = new Set();
    for (const row of rows) {
      const name = row.dataset.name.toLowerCase();
      if (words.every((word) => name.includes(word))) shown.add(row.dataset.series);
    }
    // Charts and other tables of the task follow.
    for (const each of table.closest(".task").querySelectorAll("[data-series]"))
      each.toggleAttribute("hidden", !shown.has(each.dataset.series));
    document.getElementById(table.dataset.counted).textContent =
      `${shown.size} of ${rows.length} plans`;
  };

  for (const table of document.querySelectorAll("table.overview"))
    for (const heading of table.tHead.rows[0].cells)
      heading.querySelector("button").addEventListener("click", () => sort(table, heading));

  for (const input of document.querySelectorAll("input[data-filters]"))
    input.addEventListener("input", () => filter(input));

  // Documents stay as the reader left them: all of them would fill a book.
  const shut = [];
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not(.document):not([open])")) {
      each.open = true;
      shut.push(each);
    }
  });
  addEventListener("afterprint", () => {
    for (const each of shut.splice(0)) each.open = false;
  });
})();
