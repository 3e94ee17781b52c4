// Dialogs, buttons and keys of the review. Follows desk.js in one function.
const dialog = find(".an-dialog");
function tell(title, ...nodes) {
  find(".an-dialog-title").textContent = title;
  put(".an-dialog-body", ...nodes);
  dialog.dataset.options = "";
  if (!dialog.open) dialog.showModal();
}
function shut() { dialog.close(); home(); }
let picked = null;
function options(title, choices, then, extra) {
  const take = (i) => { shut(); then(choices[i].code); };
  tell(title, ...choices.map((c, i) => make("button", { type: "button", class: "an-choice an-option", onclick: () => take(i) }, make("kbd", {}, String(i + 1)), " " + c.words)), ...(extra ? [extra] : []));
  dialog.dataset.options = String(choices.length);
  picked = take;
  dialog.querySelector(".an-option").focus();
}
dialog.addEventListener("keydown", (event) => {
  if (!dialog.open) return;  // closed by its button, the focus not gone yet: a key of the page
  event.stopPropagation();
  const writing = event.target.matches("textarea");
  if (writing && event.key === "Escape") { event.preventDefault(); dialog.querySelector(".an-option").focus(); return; }
  // A browser left to itself closes a little later, and would lose the key pressed next.
  if (event.key === "Escape") { event.preventDefault(); shut(); return; }
  if (writing || !dialog.dataset.options) return;
  const number = Number(event.key);
  if (number >= 1 && number <= Number(dialog.dataset.options)) { event.preventDefault(); picked(number - 1); }
  if (event.key === "n") { const area = dialog.querySelector("textarea"); if (area) { event.preventDefault(); area.focus(); } }
});
// The event comes late: by then somebody may be writing, or in the next dialog.
dialog.addEventListener("close", () => { if (!dialog.open && !document.activeElement?.matches("textarea")) home(); });

const KEYS = [
  ["j  k", "next, previous sentence (also ↓ ↑)"], ["a", "accept the sentence"], ["e", "edit it (Ctrl + Enter saves, Esc leaves)"], ["r", "reject it, then a number for the reason"], ["u", "unsure"],
  ["1  2  3", "verdict: alteration, no evidence, inconclusive"], ["f", "finish and go on; in blind mode first: show the draft"], ["s", "skip, then a number for the reason"], ["n", "write a note (Esc leaves)"],
  ["z", "undo the last action, whatever it was (also Ctrl + z)"], ["p", "back to the picture before"], ["b  x  v", "brush, eraser, move"], ["[  ]", "smaller, larger brush"],
  ["m", "paint by keys: arrows move (Shift: far), Space prints, Esc leaves"], ["c", "clear the mask"], ["t", "take over the draft's mask"], ["h  d", "hide or show your mask, the draft's mask"],
  ["+  -  0", "zoom in, out, whole picture"], ["Shift + arrows", "move the picture"], ["l", "list of pictures"], ["w", "adjudicate where annotators differ"], ["g", "progress and agreement"], ["?", "these keys"],
];
function help() {
  tell("Keys", make("div", { class: "an-keys" }, ...KEYS.map(([keys, words]) => make("div", {}, make("span", {}, ...keys.split("  ").flatMap((k) => [make("kbd", {}, k), " "])), make("span", {}, words)))));
}

// What a dialog shows; null when, on the way, it was called off, another was asked for, or somebody began to write.
async function wanted(request) {
  const mine = ++desk.wanted, answer = await chain.then(() => ask(request));
  if (mine !== desk.wanted || dialog.open || document.activeElement?.matches("textarea")) return null;
  if (answer.ok) return answer;
  problem(answer.error);
  return null;
}

async function list() {
  const answer = await wanted({ do: "list", annotator: desk.me });
  if (!answer) return;
  const rows = answer.tasks.map((t) => make("tr", {}, make("td", {}, make("button", { type: "button", class: "an-cite", onclick: () => { shut(); go({ do: "open", task: t.task }); } }, "Picture " + t.task)),
    make("td", {}, t.image || "name hidden"), make("td", {}, t.stage ? ({ opinion: "begun", review: "begun" }[t.stage] || t.stage) : ""), make("td", {}, `${t.done} of ${t.wanted}`), make("td", {}, t.outcome)));
  tell("Pictures", make("table", {}, make("thead", {}, make("tr", {}, ...["", "file", "yours", "reviews", "outcome"].map((w) => make("th", { scope: "col" }, w)))), make("tbody", {}, ...rows)));
}

async function figures() {
  const answer = await wanted({ do: "figures" });
  if (!answer) return;
  const a = answer.all, g = answer.agreement, number = (v) => (v == null ? "not defined yet" : v.toFixed(3));
  const counts = (o) => Object.entries(o).map(([k, v]) => `${v} ${k}`).join(", ") || "none yet";
  const line = (name, c) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, String(c.units)), make("td", {}, number(c.observed)), make("td", {}, number(c.alpha)), make("td", {}, number(c.kappa_mean)));
  tell("Progress and agreement",
    make("p", {}, `${a.slots_done} of ${a.slots} reviews done on ${a.tasks} pictures. Outcomes: ${counts(a.outcomes)}.`), make("p", {}, `Sentences: ${counts(a.decisions)}. Rejected because: ${counts(a.reject_reasons)}.`),
    make("table", {}, make("thead", {}, make("tr", {}, ...["agreement on", "judged by two or more", "equal", "Krippendorff's alpha", "Cohen's kappa (mean)"].map((w) => make("th", { scope: "col" }, w)))), make("tbody", {}, line("verdicts", g.verdicts), line("sentences (four decisions)", g.decisions), line("sentences (kept or not)", g.kept))),
    make("p", {}, `Masks, where two say there is an alteration: ${g.masks.pairs} pairs, mean overlap (IoU) ${number(g.masks.mean)}.`));
}

// ---- buttons and keys

function clearMask() { if (open() && art.picture && art.mask.includes(1)) replaceMask(null); }
const DO = {
  undo: () => act("undo"), previous: () => desk.gone && go({ do: "open", review: desk.gone }), list, figures, help, finish, adjudicate: () => go({ do: "adjudicate" }),
  skip: () => open() && options("Why do you skip this picture?", desk.words.skip_reasons, async (reason) => { const a = await leave("skip", { reason }); if (a && a.ok) go({ do: desk.review.role === "adjudication" ? "adjudicate" : "next" }); }),
  reopen: () => act("reopen"), next: () => go({ do: "next" }), clear: clearMask, "draft-mask": () => open() && act("draft_mask"),
  "zoom-in": () => zoomTo(view.scale * 1.4), "zoom-out": () => zoomTo(view.scale / 1.4), fit,
};
root.addEventListener("click", (event) => {
  tick();
  const button = event.target.closest("[data-do]"), tool = event.target.closest("[data-tool-button]");
  if (button) DO[button.dataset.do]?.();
  if (tool) setTool(tool.dataset.toolButton);
});
root.addEventListener("pointerdown", tick);
find(".an-size").addEventListener("input", (event) => setSize(Number(event.target.value)));
let noteTimer = 0;
const saveNote = () => { clearTimeout(noteTimer); const text = find(".an-notetext").value; if (open() && text !== desk.review.note) act("note", { text }); };
find(".an-notetext").addEventListener("input", () => { clearTimeout(noteTimer); noteTimer = setTimeout(saveNote, 1200); });
find(".an-notetext").addEventListener("change", saveNote);
find(".an-notetext").addEventListener("keydown", (event) => { if (event.key === "Escape") canvas.focus({ preventScroll: true }); event.stopPropagation(); });
find(".an-who").addEventListener("submit", (event) => { event.preventDefault(); start(find("#an-name").value); });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
function byKeys(event) {
  const arrow = ARROWS[event.key];
  if (art.keys && arrow) keysMove(arrow[0], arrow[1], event.shiftKey);
  else if (art.keys && event.key === " ") { if (open()) keysPrint(); }
  else if (art.keys && event.key === "Escape") { art.keys = null; draw(); }
  else if (arrow && event.shiftKey) pan(-arrow[0] * 60, -arrow[1] * 60);
  else return false;
  return true;
}
const step = (by) => { desk.focus = clamp(desk.focus + by, 0, Math.max(0, desk.review.claims.length - 1)); renderClaims(); bring(); };
const KEYED = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), a: () => choose("accept"), e: () => choose("edit"), r: () => choose("reject"), u: () => choose("unsure"),
  f: () => (open() ? finish() : DO.next()), s: DO.skip, n: () => find(".an-notetext").focus(), z: DO.undo, b: () => setTool("add"), x: () => setTool("erase"), v: () => setTool("move"),
  "[": () => setSize(art.size / 1.25 - 1), "]": () => setSize(art.size * 1.25 + 1), m: () => { if (art.picture && open()) startKeys(); }, c: clearMask, t: DO["draft-mask"],
  h: () => { art.showMask = !art.showMask; draw(); }, d: () => { art.showDraft = !art.showDraft; draw(); }, "+": DO["zoom-in"], "=": DO["zoom-in"], "-": DO["zoom-out"], 0: fit,
};
for (const n of [1, 2, 3]) KEYED[n] = () => open() && act("verdict", { verdict: desk.words.verdicts[n - 1].code });
const ALWAYS = { "?": help, l: list, g: figures, p: DO.previous, w: DO.adjudicate };

function onKey(event) {
  if (!root.isConnected) return document.removeEventListener("keydown", onKey);
  if (!root.offsetParent || dialog.open || !(desk.me || event.key === "?")) return;
  const target = event.target;
  if (target !== document.body && !root.contains(target)) return;
  if (target.matches?.("input, textarea, select")) return;
  if (desk.moving) { event.preventDefault(); return; }  // meant for a picture that is not there yet
  const plain = !(event.ctrlKey || event.metaKey || event.altKey);
  tick();
  if (event.key === "Escape") desk.wanted++;
  if (!plain) {
    if (event.key.toLowerCase() === "z" && !event.altKey && desk.review) { event.preventDefault(); DO.undo(); }
    return;
  }
  if (target.matches?.("button") && (event.key === " " || event.key === "Enter")) return;
  if (desk.review && byKeys(event)) { event.preventDefault(); return; }
  const found = ALWAYS[event.key] || (desk.review && KEYED[event.key]);
  if (found) { event.preventDefault(); found(); }
}
document.addEventListener("keydown", onKey);
try { find("#an-name").value = localStorage.getItem("fakeexplain-annotator") || ""; } catch { /* none kept */ }
draw();
