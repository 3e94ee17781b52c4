// The review beside the picture: who, what is decided, what is saved; keys for everything. Follows canvas.js in one
// function. Every action goes to the server at once and in order; one that fails is sent again under the same id.
const desk = { me: 0, words: null, review: null, progress: null, focus: 0, editing: 0, before: 0, gone: 0, waiting: 0, wanted: 0, moving: false };
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (/^(aria|data)-/.test(key) && value != null) node.setAttribute(key, String(value));
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((c) => c != null));
  return node;
};
const put = (selector, ...children) => { find(selector).replaceChildren(...children); };
const show = (selector, on) => { find(selector).hidden = !on; };
// Keys go to the picture, or to the page where there is none. Left to the browser, the focus stays for a frame on what
// was just hidden, and the key pressed next is lost there.
function home() {
  canvas.focus({ preventScroll: true });
  if (document.activeElement !== canvas) document.activeElement?.blur();
}
const open = () => desk.review && (desk.review.stage === "opinion" || desk.review.stage === "review");

// ---- saving

let chain = Promise.resolve(), lastInput = performance.now(), spent = 0;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// Time of work: between two inputs at most a minute counts, a hidden page not at all.
function tick() {
  const now = performance.now();
  if (!document.hidden) spent += Math.min((now - lastInput) / 1000, 60);
  lastInput = now;
}
function saved(state, words) {
  const line = find(".an-saved");
  line.dataset.state = state;
  line.textContent = words;
}
function problem(words) {
  const line = find(".an-problem");
  line.textContent = words || "";
  line.hidden = !words;
}

async function ask(request) {
  for (let wait = 400; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const answer = await server.annotate(request);
      if (answer && typeof answer.ok === "boolean") return answer;
      throw new Error("no answer");
    } catch {
      saved("wait", "not saved yet: the server does not answer; trying again");
      await pause(wait);
    }
  }
}

function act(what, values = {}) {
  if (!desk.review || desk.moving) return Promise.resolve(null);  // what is pressed on the way belongs to no picture
  tick();
  const review = desk.review.id, seconds = spent;
  const id = crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
  spent = 0;
  desk.waiting++;
  saved("wait", "saving …");
  chain = chain.catch(() => null).then(async () => {
    const after = desk.review && desk.review.id === review ? desk.review.last : null;
    const answer = await ask({ do: "act", annotator: desk.me, review, what, seconds, id, after, ...values });
    desk.waiting--;
    problem(answer.ok ? "" : answer.error);
    if (!desk.waiting) saved("done", answer.ok ? "saved" : "not done");
    if (answer.progress) desk.progress = answer.progress;
    if (answer.review && desk.review && desk.review.id === review) {
      Object.assign(desk.review, answer.review);
      if (answer.review.mask !== undefined && !desk.waiting && art.picture) setMask(answer.review.mask);
      if (answer.review.draft_mask !== undefined) showDraft();
      if (what === "undo") desk.focus = firstOpen();
      render();
    }
    return answer;
  });
  return chain;
}

onStroke = () => act("mask", { mask: runsOf(art.mask) });
function replaceMask(runs) { setMask(runs); onStroke(); }
function showDraft() { if (art.picture) setOutline("draft", desk.review.draft_mask); }
addEventListener("beforeunload", (event) => { if (desk.waiting) event.preventDefault(); });

// ---- going from picture to picture

async function start(name) {
  const answer = await ask({ do: "hello", name });
  problem(answer.ok ? "" : answer.error);
  if (!answer.ok) return;
  desk.me = answer.annotator;
  desk.words = answer;
  desk.progress = answer.progress;
  try { localStorage.setItem("fakeexplain-annotator", name); } catch { /* a private window keeps no name */ }
  show(".an-who", false);
  show(".an-intro", false);
  show(".an-where", true);
  show(".an-actions", true);
  home();
  saved("done", "");
  await go({ do: "next" });
}

async function go(request) {
  if (desk.moving) return;
  desk.moving = true;
  desk.wanted++;
  saved("wait", "opening …");
  try { await arrive(request); } finally {
    desk.moving = false;
    saved("done", "");
  }
}

async function arrive(request) {
  const answer = await chain.then(() => ask({ ...request, annotator: desk.me }));
  problem(answer.ok ? "" : answer.error);
  if (!answer.ok) return;
  desk.progress = answer.progress || desk.progress;
  if (!answer.review) {
    desk.review = null;
    show(".an-body", false);
    const left = desk.progress.disputed ? " Pictures on which annotators differ wait under “Adjudicate” (w)." : "";
    problem(request.do === "adjudicate" ? "No picture waits for adjudication." : "All done: no picture waits for you." + left);
    renderHead();
    return;
  }
  if (desk.review && desk.review.id !== answer.review.id) desk.gone = desk.review.id;
  desk.review = answer.review;
  desk.editing = 0;
  spent = 0;
  lastInput = performance.now();
  show(".an-body", true);
  root.dataset.empty = "false";
  if (art.task !== answer.review.task) {
    find(".an-wait").textContent = "Loading the picture …";
    art.picture = null;
    draw();
    const given = await ask({ do: "picture", task: answer.review.task });
    if (!given.ok) { find(".an-wait").textContent = ""; problem(given.error + ". Skip it (s) to go on."); art.task = 0; }
    else if (desk.review.task === answer.review.task) { await showPicture(answer.review.task, given); find(".an-wait").textContent = ""; }
  }
  if (art.picture) {
    setSize(art.size);
    setMask(desk.review.mask);
    showDraft();
  }
  desk.focus = firstOpen();
  render();
  canvas.focus({ preventScroll: true });
}

function firstOpen() {
  const claims = desk.review.claims, at = claims.findIndex((c) => !c.decision);
  return at < 0 ? 0 : at;
}

// The last action on a picture: from here on nothing is decided about it, not even before the server has answered.
async function leave(what, values = {}) {
  if (!desk.review || desk.moving) return null;
  const sent = act(what, values);
  desk.moving = true;
  art.editable = false;
  try { return await sent; } finally { desk.moving = false; }
}

async function finish() {
  const answer = await leave(desk.review.stage === "opinion" ? "reveal" : "finish");
  if (answer && answer.ok && answer.review.stage === "done") {
    const adjudication = answer.review.role === "adjudication";
    await go({ do: adjudication ? "adjudicate" : "next" });
  } else if (answer) {
    if (answer.ok) desk.focus = firstOpen();
    render();
  }
}

// ---- what is on the screen

function render() {
  renderHead();
  if (!desk.review) return;
  // What had the focus is drawn anew; its successor gets it.
  const active = root.contains(document.activeElement) ? document.activeElement : null;
  const name = active && active.matches(".an-right button") ? nameOf(active) : "";
  renderReview();
  if (name && !active.isConnected) (all(".an-right button").find((b) => nameOf(b) === name) || canvas).focus({ preventScroll: true });
}
const nameOf = (button) => button.getAttribute("aria-label") || button.title || button.textContent;

function renderReview() {
  const r = desk.review;
  art.editable = open() && !desk.moving;
  if (art.picture) {
    canvas.setAttribute("aria-label", `Picture ${r.task}, ${r.width} by ${r.height} pixels. ${maskWords()} Press m to paint by keys.`);
  }
  find(".an-maskwords").textContent = maskWords();
  show(".an-key-draft", Boolean(r.draft_mask));
  renderVerdict();
  renderBlind();
  renderOthers();
  renderClaims();
  const note = find(".an-notetext");
  if (document.activeElement !== note) note.value = r.note;
  note.disabled = !open();
  const doing = { done: "This picture is finished.", skipped: "You skipped this picture.", released: "This picture went to somebody else." };
  find(".an-missing").textContent = doing[r.stage] || (r.missing.length ? "Left to do: " + r.missing.join("; ") + "." : "Ready to be finished.");
  const end = find(".an-finish");
  end.hidden = !open();
  end.textContent = r.stage === "opinion" ? "Show the draft" : r.role === "adjudication" ? "Decide, next" : "Finish, next picture";
  show("[data-do=skip]", open());
  show("[data-do=reopen]", r.stage === "done" || r.stage === "skipped");
  show("[data-do=next]", !open());
  all(".an-left [data-do=clear], .an-left [data-do=draft-mask]").forEach((b) => { b.disabled = !open(); });
  show("[data-do=draft-mask]", Boolean(r.draft_mask));
}

function renderHead() {
  const p = desk.progress, r = desk.review;
  if (!p) return;
  const mine = p.done + p.open + p.skipped + p.left;
  find(".an-progress").max = Math.max(1, mine);
  find(".an-progress").value = p.done;
  find(".an-count").textContent = `${p.done} of ${mine} done` + (p.skipped ? `, ${p.skipped} skipped` : "");
  find(".an-title").textContent = r ? (r.role === "adjudication" ? "Adjudication, picture " : "Picture ") + r.task : "";
  show("[data-do=adjudicate]", p.disputed > 0);
  find("[data-do=adjudicate]").textContent = `Adjudicate ${p.disputed}`;
  const undo = find(".an-actions [data-do=undo]");
  undo.disabled = !(r && r.undo);
  undo.title = r && r.undo ? `Undo ${r.undo} (z)` : "Nothing to undo (z)";
  find("[data-do=previous]").disabled = !desk.gone;
}

function maskWords() {
  const r = desk.review, share = (100 * r.mask_area) / (r.width * r.height);
  return r.mask_area ? `Your mask covers ${share < 0.1 ? "under 0.1" : share.toFixed(1)} % of the picture.` : "Your mask is empty.";
}

function renderVerdict() {
  const r = desk.review;
  put(".an-verdicts", ...desk.words.verdicts.map((v, i) => make("button", {
    type: "button", class: "an-choice", role: "radio", "aria-checked": r.verdict === v.code, "aria-keyshortcuts": i + 1,
    disabled: !open(), title: `${v.words} (${i + 1})`, onclick: () => act("verdict", { verdict: v.code }),
  }, `${i + 1} ${v.words}`)));
  find(".an-verdicts").setAttribute("role", "radiogroup");
  const said = r.machine ? `The program says: ${r.machine.words} (${Math.round(r.machine.probability * 100)} %).` : "";
  const first = r.opinion ? ` Before you saw it you said: ${wordsOf(r.opinion)}.` : "";
  find(".an-machine").textContent = said + first;
}
const wordsOf = (code) => (desk.words.verdicts.find((v) => v.code === code) || { words: "nothing yet" }).words;

function renderBlind() {
  const hidden = desk.review.stage === "opinion";
  show(".an-blind", hidden);
  show(".an-draft", desk.review.revealed);
  if (hidden) put(".an-blind", make("strong", {}, "Your own opinion first"),
    make("p", {}, "The program's draft and verdict are hidden. Look at the picture, mark what you think was altered (if anything), choose your verdict, then press “Show the draft” (f). What you say now is kept as your first opinion and cannot be undone afterwards."));
}

function renderOthers() {
  const others = desk.review.others;
  show(".an-others", others.length > 0);
  if (!others.length) return setOutline("other", null);
  put(".an-others", make("h3", {}, "What the annotators said"), ...others.map((o) => make("div", { class: "an-row" },
    make("span", { class: "an-said" }, make("b", {}, o.letter), `: ${wordsOf(o.verdict)}${o.note ? ". " + o.note : ""}`),
    o.mask ? make("button", { type: "button", class: "fx-small", "aria-pressed": desk.shown === o.letter, onclick: () => showOther(o) }, "Show mask") : null,
    o.mask && open() ? make("button", { type: "button", class: "fx-small", onclick: () => replaceMask(o.mask) }, "Take mask") : null)));
}
function showOther(other) {
  desk.shown = desk.shown === other.letter ? "" : other.letter;
  setOutline("other", desk.shown ? other.mask : null);
  show(".an-key-other", Boolean(desk.shown));
  renderOthers();
}

const FINDINGS = { unsupported: "Not carried by the evidence", no_claim: "Cites nothing" };
function renderClaims() {
  const r = desk.review;
  desk.focus = clamp(desk.focus, 0, Math.max(0, r.claims.length - 1));
  put(".an-claims", ...r.claims.map((claim, index) => claimNode(claim, index)));
  const current = r.claims[desk.focus];
  const cited = current ? r.evidence.filter((e) => idsOf(current).includes(e.id)) : [];
  const polygons = cited.flatMap((e) => e.regions.map((g) => g.polygons));
  if (art.picture) setAreas(polygons);
  show(".an-key-evidence", polygons.length > 0);
}
function idsOf(claim) {
  const text = claim.decision && claim.decision.decision === "edit" ? claim.decision.text : null;
  return text === null ? claim.evidence_ids : Array.from(text.matchAll(/E\d+/g), (m) => m[0]);
}

function claimNode(claim, index) {
  const d = claim.decision, on = index === desk.focus, edited = d && d.decision === "edit";
  const node = make("li", { class: "an-claim", "data-claim": claim.number, "data-on": on, "data-decision": d ? d.decision : "", "aria-current": on ? "true" : null, onclick: () => { if (desk.focus !== index) { desk.focus = index; renderClaims(); } } });
  const text = make("p", {}, make("span", { class: "an-number" }, String(claim.number)));
  const withdrawn = d && (d.decision === "reject" || edited);
  text.append(withdrawn ? make("del", {}, ...textNodes(claim.text)) : make("span", {}, ...textNodes(claim.text)));
  node.append(text);
  if (edited) node.append(make("p", {}, ...textNodes(d.text)));
  const mark = edited ? d.finding : claim.finding === "unsupported" ? claim.finding : "";
  if (FINDINGS[mark] && !(d && d.decision === "reject")) node.append(make("p", { class: "an-mark" }, "⚠ " + FINDINGS[mark] + (edited && d.problems.length ? ": " + d.problems.slice(0, 2).join("; ") : "") + "."));
  if (desk.editing === claim.number) node.append(editor(claim));
  else node.append(decisions(claim, d));
  desk.review.others.forEach((o) => {
    const said = o.decisions[claim.number];
    if (said) node.append(make("p", { class: "an-said" }, make("b", {}, o.letter), `: ${said.decision}${said.reason ? ", " + reasonWords(said.reason) : ""}${said.text ? ": " + said.text : ""}${said.note ? " (" + said.note + ")" : ""}`));
  });
  if (on) {
    const cited = desk.review.evidence.filter((e) => idsOf(claim).includes(e.id));
    if (cited.length) node.append(make("div", { class: "an-evidence" }, ...cited.map((e) => make("div", {}, make("b", {}, e.id + " "), e.words))));
  }
  return node;
}
const reasonWords = (code) => (desk.words.reject_reasons.find((r) => r.code === code) || { words: code }).words;

function textNodes(text) {
  return text.split(/(\[E\d+(?:\s*[,;]\s*E\d+)*\])/).map((part) => (/^\[E\d/.test(part) ? make("span", { class: "an-cite" }, part) : part));
}

function decisions(claim, d) {
  const button = (code, key, words) => make("button", {
    type: "button", class: "fx-small", "aria-pressed": Boolean(d && d.decision === code), "aria-keyshortcuts": key, disabled: !open(), title: `${words} (${key})`,
    "aria-label": `${words} claim ${claim.number}`, onclick: (event) => { event.stopPropagation(); desk.focus = claim.number - 1; choose(code); },
  }, words);
  const row = make("div", { class: "an-row", role: "group", "aria-label": `Decision on claim ${claim.number}` }, button("accept", "a", "Accept"), button("edit", "e", "Edit"), button("reject", "r", "Reject"), button("unsure", "u", "Unsure"));
  if (d && d.reason) row.append(make("span", { class: "an-said" }, reasonWords(d.reason) + (d.note ? ": " + d.note : "")));
  return row;
}

function editor(claim) {
  const start = claim.decision && claim.decision.text ? claim.decision.text : claim.text;
  const area = make("textarea", { rows: 4, maxlength: 4000, "aria-label": `New text of claim ${claim.number}` });
  area.value = start;
  const save = () => {
    if (!area.value.trim() || area.value.trim() === claim.text) { desk.editing = 0; renderClaims(); return; }
    desk.editing = 0;
    decide(claim, { decision: "edit", text: area.value });
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
    if (event.key === "Escape") { event.preventDefault(); desk.editing = 0; renderClaims(); canvas.focus({ preventScroll: true }); }
    event.stopPropagation();
  });
  requestAnimationFrame(() => { area.focus(); area.setSelectionRange(area.value.length, area.value.length); });
  return make("div", {}, area, make("div", { class: "an-row" },
    make("button", { type: "button", class: "fx-small fx-primary", onclick: save, title: "Ctrl + Enter" }, "Save (Ctrl + Enter)"),
    make("button", { type: "button", class: "fx-small", onclick: () => { desk.editing = 0; renderClaims(); } }, "Cancel (Esc)")));
}

async function decide(claim, values) {
  canvas.focus({ preventScroll: true });
  const answer = await act("claim", { claim: claim.number, ...values });
  if (!answer || !answer.ok) return;
  const left = desk.review.claims.map((c, i) => (c.decision ? -1 : i)).filter((i) => i >= 0);
  if (left.length) { desk.focus = left.find((i) => i > desk.focus) ?? left[0]; renderClaims(); bring(); }
}
function bring() { find(".an-claim[data-on=true]")?.scrollIntoView({ block: "nearest" }); }

function choose(code) {
  const claim = desk.review.claims[desk.focus];
  if (!claim || !open()) return;
  if (code === "edit") { desk.editing = claim.number; renderClaims(); bring(); return; }
  if (code !== "reject") { decide(claim, { decision: code }); return; }
  const note = make("textarea", { rows: 2, maxlength: 4000, "aria-label": "Note on the rejection", placeholder: "note (optional); press n to write one, then Esc and a number" });
  options(`Why is sentence ${claim.number} rejected?`, desk.words.reject_reasons, (reason) => decide(claim, { decision: "reject", reason, note: note.value }), note);
}
