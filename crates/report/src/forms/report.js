"use strict";
// Tables that sort by a click on their head and are filtered by what is typed above them. What was chosen stands in the address,
// so that it can be passed on: #sort0=2-descending&filter0=head is of the first table, its third column.
(() => {
  const units = { s: 1, min: 60, h: 3600, k: 1e3, M: 1e6, G: 1e9, bytes: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  // The number that a cell begins with, with its units: "2 min 05 s ± 1 s" is 125.
  const value = (text) => {
    const first = text.replace(/\u00a0/g, " ").replace(/(\d),(?=\d{3})/g, "$1").split("±")[0];
    const parts = [...first.matchAll(/([-+<]?)(\d+(?:\.\d+)?)(?: ?(min|s|h|KiB|MiB|GiB|bytes|k|M|G)\b)?/g)];
    if (parts.length === 0) return NaN;
    const one = ([, sign, digits, unit]) => (sign === "-" ? -1 : 1) * digits * (units[unit] ?? 1);
    return parts[0][3] ? parts.filter((part) => part[3]).reduce((sum, part) => sum + one(part), 0) : one(parts[0]);
  };
  const state = new URLSearchParams(location.hash.slice(1));
  const keep = () => history.replaceState(null, "", "#" + state);
  const sort = (table, column, order) => {
    const rows = [...table.tBodies[0].rows];
    const text = (row) => row.cells[column].textContent;
    const numbers = rows.map((row) => value(text(row)));
    const numeric = !isNaN(numbers[0]) && table.tHead.rows[0].cells[column].style.textAlign === "right";
    const key = new Map(rows.map((row, index) => [row, numeric ? numbers[index] : text(row)]));
    const lost = order === "ascending" ? Infinity : -Infinity; // what has no number comes last
    rows.sort((a, b) => {
      const [x, y] = order === "ascending" ? [a, b] : [b, a];
      if (!numeric) return key.get(x).localeCompare(key.get(y));
      const number = (row) => (isNaN(key.get(row)) ? lost : key.get(row));
      return number(x) - number(y) || 0;
    });
    table.tBodies[0].append(...rows);
    [...table.tHead.rows[0].cells].forEach((cell, index) =>
      index === column ? cell.setAttribute("aria-sort", order) : cell.removeAttribute("aria-sort"));
  };
  document.querySelectorAll("table").forEach((table, index) => {
    const frame = document.createElement("div");
    frame.className = "table";
    table.replaceWith(frame);
    frame.append(table);
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = document.createElement("button");
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const order = cell.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
        sort(table, column, order);
        state.set("sort" + index, column + "-" + order);
        keep();
      });
    });
    const filter = (words) => {
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
      }
    };
    if (table.tBodies[0].rows.length > 5) {
      const input = document.createElement("input");
      Object.assign(input, { className: "filter", type: "search", placeholder: "Show rows with …" });
      input.setAttribute("aria-label", "Show rows with");
      frame.before(input);
      input.addEventListener("input", () => {
        filter(input.value);
        input.value ? state.set("filter" + index, input.value) : state.delete("filter" + index);
        keep();
      });
      input.value = state.get("filter" + index) ?? "";
      if (input.value) filter(input.value);
    }
    const [column, order] = (state.get("sort" + index) ?? "").split("-");
    if (order && table.tHead.rows[0].cells[column]) sort(table, Number(column), order);
  });
  document.documentElement.dataset.ready = "yes";
  document.documentElement.dataset.overflow = document.documentElement.scrollWidth > innerWidth ? "yes" : "no";
})();
