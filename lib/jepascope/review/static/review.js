// Puts the passage that the reader has selected, with a link to its section, into the comment being written.
(() => {
  const article = document.querySelector("article");
  let passage = null; // the last selection within the text: pressing a button may clear it
  document.addEventListener("selectionchange", () => {
    const selection = document.getSelection();
    const start = selection.anchorNode && (selection.anchorNode.parentElement || selection.anchorNode);
    if (selection.isCollapsed || !article.contains(start) || start.closest("#comments")) return;
    const place = start.closest("figure[id], section[id]");
    passage = { text: selection.toString().trim(), place };
  });
  document.getElementById("quote-selection").addEventListener("click", () => {
    const box = document.querySelector("#isso-thread > .isso-postbox textarea");
    if (!box) return;
    if (passage && passage.text) {
      const heading = passage.place && passage.place.querySelector("h1, h2, h3, h4");
      const name = heading ? heading.firstChild.textContent.trim() : "here";
      const link = passage.place ? `\n>\n> [${name}](#${passage.place.id})` : "";
      box.value += `> ${passage.text.replace(/\n+/g, "\n> ")}${link}\n\n`;
    }
    box.focus();
  });
})();
