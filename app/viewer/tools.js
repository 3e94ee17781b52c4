// The viewer's tools: mouse, touch and keys; the box, the brush, clicks that refine. Follows viewer.js in one function.
const draft = { box: null, brush: null, erase: false, width: 36, refine: "add" };
const HINTS = {
  move: "",
  box: "Drag a box around the place you want to ask about. By keyboard: Enter, arrow keys, Shift + arrow keys, Enter.",
  brush: "Paint over the place you want to ask about, then “Use this region”.",
  refine: "Click what belongs to the region, or what does not.",
};

function setTool(tool) {
  state.tool = tool;
  root.dataset.tool = tool;
  if (tool !== "box") draft.box = null;
  all("[data-tool-button]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.toolButton === tool)));
  root.querySelector(".fx-brush-set").hidden = tool !== "brush";
  root.querySelector(".fx-refine-set").hidden = tool !== "refine";
  root.querySelector(".fx-look-set").hidden = tool === "brush" || tool === "refine";
  root.querySelector(".fx-hint").textContent = HINTS[tool];
  if (tool !== "move" && look.mode === "slider") setMode("marked");
  draw();
}

function toSource(event) {
  const rect = canvas.getBoundingClientRect();
  return [(event.clientX - rect.left - view.x) / view.scale, (event.clientY - rect.top - view.y) / view.scale];
}

function brushCanvas() {
  if (!draft.brush) {
    draft.brush = document.createElement("canvas");
    draft.brush.width = state.picture.naturalWidth;
    draft.brush.height = state.picture.naturalHeight;
  }
  return draft.brush;
}

function paintStroke([x0, y0], [x1, y1]) {
  const pen = brushCanvas().getContext("2d"), scale = overview();
  pen.globalCompositeOperation = draft.erase ? "destination-out" : "source-over";
  pen.strokeStyle = "#f0a614";
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = (draft.width / view.scale) * scale;
  pen.beginPath();
  pen.moveTo(x0 * scale, y0 * scale);
  pen.lineTo(x1 * scale + 0.01, y1 * scale);
  pen.stroke();
}

function paintDraft(pen) {
  const unit = 1 / view.scale;
  if (draft.brush && state.tool === "brush") {
    pen.globalAlpha = 0.5;
    pen.drawImage(draft.brush, 0, 0, state.scene.width, state.scene.height);
    pen.globalAlpha = 1;
  }
  if (!draft.box) return;
  const [x0, y0, x1, y1] = boxOf(draft.box);
  for (const [colour, width] of [[CASING, 4.4], ["#fff", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * unit;
    pen.setLineDash(colour === "#fff" ? [7 * unit, 5 * unit] : []);
    pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
  pen.setLineDash([]);
}

function boxOf([x0, y0, x1, y1]) {
  const { width, height } = state.scene;
  return [clamp(Math.round(Math.min(x0, x1)), 0, width), clamp(Math.round(Math.min(y0, y1)), 0, height),
    clamp(Math.round(Math.max(x0, x1)), 0, width), clamp(Math.round(Math.max(y0, y1)), 0, height)];
}

function finishBox() {
  const box = boxOf(draft.box);
  draft.box = null;
  if (box[2] - box[0] >= 4 && box[3] - box[1] >= 4) {
    trigger("region", { id: state.scene.id, kind: "box", box });
    setTool("move");
  }
  draw();
}

function finishBrush() {
  if (!draft.brush) return;
  trigger("region", { id: state.scene.id, kind: "brush", mask: draft.brush.toDataURL("image/png") });
  draft.brush = null;
  setTool("move");
}

// ---- mouse and touch: two fingers zoom, one draws or moves

const pointers = new Map();
let last = null, pinch = 0, travelled = 0;

canvas.addEventListener("pointerdown", (event) => {
  if (!state.scene) return;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  canvas.focus({ preventScroll: true });
  travelled = 0;
  last = toSource(event);
  if (pointers.size === 2) { draft.box = null; pinch = spread(); return; }
  if (state.tool === "box" && event.button === 0) draft.box = [...last, ...last];
  if (state.tool === "brush") { paintStroke(last, last); draw(); }
});

canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before || !state.scene) return;
  pointers.set(event.pointerId, event);
  const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
  travelled += Math.abs(dx) + Math.abs(dy);
  if (pointers.size === 2) {
    const now = spread(), rect = canvas.getBoundingClientRect();
    const [a, b] = Array.from(pointers.values());
    pan(dx / 2, dy / 2);
    zoomTo((view.scale * now) / (pinch || now), (a.clientX + b.clientX) / 2 - rect.left, (a.clientY + b.clientY) / 2 - rect.top);
    pinch = now;
    return;
  }
  const here = toSource(event);
  if (state.tool === "box" && draft.box) draft.box = [draft.box[0], draft.box[1], ...here];
  else if (state.tool === "brush") paintStroke(last, here);
  else if (state.tool === "move") pan(dx, dy);
  last = state.tool === "move" ? last : here;
  draw();
});

function spread() {
  const [a, b] = Array.from(pointers.values());
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}

function released(event) {
  if (!pointers.delete(event.pointerId) || !state.scene) return;
  if (state.tool === "box" && draft.box) return finishBox();
  if (travelled > 6 || pointers.size) return;
  const [x, y] = toSource(event);
  if (state.tool === "refine") trigger("refine", { id: state.scene.id, x, y, add: draft.refine === "add", selected: state.selected });
  else if (state.tool === "move") choose(regionAt(x, y));
}
canvas.addEventListener("pointerup", released);
canvas.addEventListener("pointercancel", (event) => { pointers.delete(event.pointerId); draft.box = null; draw(); });
canvas.addEventListener("wheel", (event) => {
  if (!state.scene || !(event.ctrlKey || event.metaKey || document.fullscreenElement === root || !view.fitted)) return;
  event.preventDefault();
  const rect = canvas.getBoundingClientRect();
  zoomTo(view.scale * Math.exp(-event.deltaY / 400), event.clientX - rect.left, event.clientY - rect.top);
}, { passive: false });
canvas.addEventListener("dblclick", (event) => {
  if (state.tool !== "move" || !state.scene) return;
  const rect = canvas.getBoundingClientRect();
  if (view.fitted) zoomTo(1 / devicePixelRatio, event.clientX - rect.left, event.clientY - rect.top);
  else fit();
});

function regionAt(x, y) {
  const probe = document.createElement("canvas").getContext("2d");
  const hits = shownRegions().filter((r) => probe.isPointInPath(r.path, x, y, "evenodd"));
  return hits.sort((a, b) => a.area_fraction - b.area_fraction)[0] || null;
}

// Tells the page that something was chosen; the page tells all who show it, this viewer too.
function choose(region) {
  const id = region ? region.evidence || region.id : "";
  document.dispatchEvent(new CustomEvent("fx:select", { detail: { id, from: "viewer" } }));
}

// ---- keys

canvas.addEventListener("keydown", (event) => {
  if (!state.scene || event.ctrlKey || event.metaKey) return;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const keys = { "+": () => zoomTo(view.scale * 1.25), "=": () => zoomTo(view.scale * 1.25), "-": () => zoomTo(view.scale / 1.25),
    0: fit, 1: () => zoomTo(1 / devicePixelRatio), f: fullScreen, m: () => setTool("move"), b: () => setTool("box"),
    r: () => setTool("brush"), c: () => setTool("refine"), Enter: enter, Escape: escape };
  const arrow = arrows[event.key];
  if (arrow && draft.box) {
    const step = event.altKey ? 1 : Math.max(1, Math.round(10 / view.scale));
    const ends = event.shiftKey ? [2, 3] : [0, 1, 2, 3];
    ends.forEach((i) => { draft.box[i] += arrow[i % 2] * step; });
    draw();
  } else if (arrow) pan(-40 * arrow[0], -40 * arrow[1]);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

function enter() {
  if (state.tool === "brush") return finishBrush();
  if (state.tool !== "box") return;
  if (draft.box) return finishBox();
  const { width, height } = size();
  const [cx, cy] = [(width / 2 - view.x) / view.scale, (height / 2 - view.y) / view.scale];
  const half = Math.min(width, height) / view.scale / 8;
  draft.box = [cx - half, cy - half, cx + half, cy + half];
  draw();
}

function escape() {
  if (draft.box || draft.brush) { draft.box = draft.brush = null; draw(); } else if (state.tool !== "move") setTool("move");
  else choose(null);
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (root.requestFullscreen) root.requestFullscreen();
}
document.addEventListener("fullscreenchange", () => {
  root.querySelector("[data-do=full]").setAttribute("aria-pressed", String(document.fullscreenElement === root));
});

// ---- buttons and settings

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !state.scene) return;
  const { modeButton, toolButton, refine } = button.dataset;
  if (modeButton) setMode(modeButton);
  if (toolButton) setTool(toolButton);
  if (refine) {
    draft.refine = refine;
    all("[data-refine]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.refine === refine)));
  }
  const actions = { in: () => zoomTo(view.scale * 1.4), out: () => zoomTo(view.scale / 1.4), fit, native: () => zoomTo(1 / devicePixelRatio),
    full: fullScreen, clear: () => { draft.brush = null; draw(); }, done: finishBrush,
    erase: () => { draft.erase = !draft.erase; button.setAttribute("aria-pressed", String(draft.erase)); } };
  if (button.dataset.do) actions[button.dataset.do]();
});

root.addEventListener("input", (event) => {
  const input = event.target;
  if (input === slider) look.split = input.value / 1000;
  const name = input.dataset.set;
  if (name === "opacity") look.opacity = input.value / 100;
  if (name === "contour") look.contour = input.checked;
  if (name === "brush") draft.width = Number(input.value);
  if (name === "threshold") {
    look.threshold = input.value / 100;
    root.querySelector(".fx-threshold").textContent = look.threshold.toFixed(2);
  }
  draw();
});

stage.addEventListener("pointerdown", (event) => {
  if (look.mode !== "slider" || event.target !== handle) return;
  event.preventDefault();
  handle.setPointerCapture(event.pointerId);
});
handle.addEventListener("pointermove", (event) => {
  if (!handle.hasPointerCapture(event.pointerId)) return;
  const rect = stage.getBoundingClientRect();
  look.split = clamp((event.clientX - rect.left) / rect.width, 0, 1);
  slider.value = String(Math.round(look.split * 1000));
  draw();
});

document.addEventListener("fx:select", (event) => { if (stage.isConnected) select(event.detail.id); });
new ResizeObserver(() => { if (state.scene) (view.fitted ? fit() : moved()); }).observe(stage);
watch("value", () => load(props.value));
load(props.value);
