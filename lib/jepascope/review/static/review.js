// Puts the passage that the reader has selected, with a link to its section, into the comment being written.
(() => {
  const article = document.querySelector("article");
  const UNSAID = ".headerlink, details:not([open]), button, script, style";
  const LINES = "p, li, h1, h2, h3, h4, tr, figcaption";
  let passage = null; // the last selection within the text: pressing a button may clear it
  document.addEventListener("selectionchange", () => {
    const selection = document.getSelection();
    const anchor = selection.anchorNode;
    const start = anchor instanceof Element ? anchor : anchor?.parentElement;
    if (selection.isCollapsed || !article.contains(start) || start.closest("#comments")) return;
    passage = { range: selection.getRangeAt(0).cloneRange(), place: start.closest("figure[id], section[id]") };
  });

  // The lines of a passage. A formula has no letters to select, so that it is quoted as the TeX that it was made from.
  function lines(range) {
    const formulas = [...article.querySelectorAll("mjx-container")].filter((each) => range.intersectsNode(each));
    const copy = range.cloneContents();
    copy.querySelectorAll("mjx-container").forEach((each, n) => {
      const [made] = MathJax.startup.document.getMathItemsWithin(formulas[n]);
      each.replaceWith(`$${made.math}$`);
    });
    copy.querySelectorAll(UNSAID).forEach((each) => each.remove());
    copy.querySelectorAll(LINES).forEach((each) => each.append("\u2029"));
    const all = copy.textContent.split("\u2029").map((line) => line.replace(/\s+/g, " ").trim());
    return all.filter((line) => line);
  }

  document.getElementById("quote-selection").addEventListener("click", () => {
    const box = document.querySelector("#isso-thread > .isso-postbox textarea");
    if (!box) return;
    const said = passage ? lines(passage.range) : [];
    if (said.length) {
      const heading = passage.place && passage.place.querySelector("h1, h2, h3, h4");
      const name = heading ? heading.textContent.replace(/[#¶]\s*$/, "").trim() : "here"; // without the link to itself
      const link = passage.place ? `\n>\n> [${name}](#${passage.place.id})` : "";
      box.value += `> ${said.join("\n> ")}${link}\n\n`;
    }
    box.focus();
  });
})();
