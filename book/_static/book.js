// What a page does besides showing itself. Without it everything stays readable, in the order of the ledger.
"use strict";

// A jump into what is folded opens it; a second click on the same link does so again.
function unfold(hash) {
  let element = hash.length > 1 ? document.getElementById(decodeURIComponent(hash.slice(1))) : null;
  for (; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
}

// Numbers by size, words by alphabet; what has neither a number nor a word comes last in either direction.
function compare(a, b) {
  const [x, y] = [a, b].map((text) => parseFloat(text.replace(/[,\s]/g, "").replace("−", "-")));
  if (!isNaN(x) && !isNaN(y)) return x - y;
  return a.localeCompare(b);
}

function missing(text) {
  return text === "—" || text.startsWith("not ");
}

// Claims are sorted within their groups: that they hold, or not, is said by the group.
function sortBy(table, column, direction) {
  const text = (row) => row.cells[column].textContent.trim();
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("fared"));
    const order = (a, b) => a.dataset.place - b.dataset.place;
    const sorted = (a, b) => missing(text(a)) - missing(text(b)) || direction * compare(text(a), text(b)) || order(a, b);
    body.append(...rows.sort(direction ? sorted : order));
  }
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  [...table.rows].forEach((row, place) => (row.dataset.place = place));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort each group by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      const wanted = next === undefined ? "ascending" : next;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (wanted) head.setAttribute("aria-sort", wanted);
      sortBy(table, column, { ascending: 1, descending: -1 }[wanted] || 0);
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  unfold(location.hash);
  const claims = document.getElementById("claims");
  if (claims) makeSortable(claims);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link) unfold(link.getAttribute("href"));
});
addEventListener("hashchange", () => unfold(location.hash));
