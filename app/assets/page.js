// What all parts of the page share: choosing a finding lights it up everywhere; sorting tables. No request leaves from here.
(() => {
  let selected = "";
  const mark = () => {
    document.querySelectorAll("a.fx-cite[data-select]").forEach((link) => {
      if ((link.dataset.select === selected) !== (link.getAttribute("aria-current") === "true")) {
        if (link.dataset.select === selected) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    });
    document.querySelectorAll(".fx-finding").forEach((card) => {
      const on = String(card.dataset.finding === selected && selected !== "");
      if (card.dataset.on !== on) {
        card.dataset.on = on;
        card.querySelector(".fx-pick")?.setAttribute("aria-expanded", on);
        if (on === "true") card.closest("details")?.setAttribute("open", "");
      }
    });
  };
  const inSight = (element) => {
    const box = element.getBoundingClientRect();
    return box.top >= 0 && box.top < window.innerHeight * 0.75;
  };
  const calm = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth");

  document.addEventListener("fx:select", (event) => {
    selected = event.detail.id;
    mark();
    const { from } = event.detail;
    const stage = Array.from(document.querySelectorAll(".fx-stage")).find((s) => s.offsetParent);
    if (selected && from && from !== "viewer" && stage && !inSight(stage)) stage.scrollIntoView({ behavior: calm(), block: "start" });
    if (selected && from === "viewer") {
      const card = document.querySelector(`.fx-finding[data-finding="${CSS.escape(selected)}"]`);
      if (card && !inSight(card) && innerWidth > 960) card.scrollIntoView({ behavior: calm(), block: "nearest" });
    }
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-select]");
    if (link) {
      event.preventDefault();
      const again = link.classList.contains("fx-pick") && link.dataset.select === selected;
      const id = again ? "" : link.dataset.select;
      document.dispatchEvent(new CustomEvent("fx:select", { detail: { id, from: link.classList.contains("fx-pick") ? "list" : "text" } }));
      return;
    }
    const copy = event.target.closest?.("[data-copy]");
    if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => { copy.textContent = "copied"; });
    const file = event.target.closest?.("[data-export]");
    if (file) {
      event.preventDefault();
      takeAway(file);
    }
    const sort = event.target.closest?.("[data-sort]");
    if (sort) sortTable(sort);
  });

  // A file to take away: saved by the browser, its sha256 shown beside it.
  async function takeAway(link) {
    const said = link.closest("section").querySelector(".fx-made");
    said.textContent = `${link.textContent}: being made …`;
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error((await answer.json()).error?.message ?? answer.statusText);
      const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? link.dataset.export;
      const save = document.createElement("a");
      save.href = URL.createObjectURL(await answer.blob());
      save.download = name;
      save.click();
      setTimeout(() => URL.revokeObjectURL(save.href), 10000);
      said.textContent = `${name}, sha256 ${answer.headers.get("x-content-sha256")}`;
    } catch (error) {
      said.textContent = `${link.textContent}: ${error.message}`;
    }
  }

  function sortTable(button) {
    const head = button.closest("th"), table = button.closest("table"), column = Array.from(head.parentNode.children).indexOf(head);
    const rising = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = (row) => row.children[column].dataset.key ?? row.children[column].textContent;
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((a, b) => (rising ? 1 : -1) * (key(a).localeCompare(key(b), "en", { numeric: true })));
    rows.forEach((row) => table.tBodies[0].append(row));
  }

  // Gradio draws parts anew when they change; the choice stays.
  let planned = 0;
  new MutationObserver(() => {
    if (selected && !planned) planned = requestAnimationFrame(() => { planned = 0; mark(); });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
