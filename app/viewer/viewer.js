// The picture viewer: draws one scene on a canvas, zooms and pans it, lights up regions. Its tools are in tools.js, which
// follows in the same function. `element`, `trigger`, `server`, `props` and `watch` come from gr.HTML. Nothing here judges.
const root = element.querySelector(".fx-viewer");
const stage = root.querySelector(".fx-stage");
const canvas = root.querySelector(".fx-canvas");
const slider = root.querySelector(".fx-slider");
const handle = root.querySelector(".fx-handle");
const context = canvas.getContext("2d");
const view = { scale: 1, x: 0, y: 0, fitted: true };
const look = { mode: "marked", opacity: 0.25, contour: true, threshold: 0, split: 0.5 };
const state = { scene: null, picture: null, second: null, map: null, mapLook: null, selected: "", tile: null, token: 0, tool: "move" };
const CASING = "rgba(16,18,22,.92)";

const all = (selector) => Array.from(root.querySelectorAll(selector));
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const overview = () => state.picture.naturalWidth / state.scene.width; // pixels of the overview per pixel of the source

function loadImage(uri) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("a picture of the viewer cannot be shown"));
    image.src = uri;
  });
}

async function load(value) {
  const token = ++state.token;
  if (!value || !value.id) {
    state.scene = null;
    root.dataset.empty = "true";
    say("No picture yet.");
    draw();
    return;
  }
  if (state.scene && state.scene.key === value.key) return announce(value.select || state.selected);
  say("Loading the picture …");
  let scene;
  try {
    scene = await server.scene({ id: value.id });
    if (token !== state.token) return;
    const keep = state.scene && state.scene.id === scene.id;
    const [picture, second, map] = await Promise.all([
      keep ? state.picture : loadImage(scene.picture),
      scene.second ? loadImage(scene.second) : null,
      keep ? state.map : scene.map ? loadImage(scene.map) : null,
    ]);
    if (token !== state.token) return;
    Object.assign(state, { picture, second, map, scene: { ...scene, key: value.key }, tile: keep ? state.tile : null });
    if (!keep) state.mapLook = null;
    scene.regions.forEach((region) => { region.path = pathOf(region.polygons); });
    show(keep, value.select || "");
  } catch (error) {
    if (token === state.token) say("The picture cannot be shown: " + (error.message || "it was deleted; upload it again") + ".");
  }
}

function show(keep, selected) {
  const scene = state.scene;
  root.dataset.empty = "false";
  say("");
  const labels = scene.regions.filter((r) => r.label).map((r) => `${r.label}: ${r.words}`);
  canvas.setAttribute("aria-label", `${scene.name}, ${scene.width} by ${scene.height} pixels. ` +
    (labels.length ? `Marked: ${labels.join("; ")}.` : "Nothing is marked."));
  root.querySelector("[data-mode-button=map]").hidden = !state.map;
  root.querySelector("[data-plain-label]").textContent = scene.second ? scene.second_name : "As received";
  if (!keep) {
    setMode(scene.mode || "marked");
    fit();
  }
  announce(selected || (keep ? state.selected : ""));
}

// What the server chose to show, all parts of the page show.
function announce(id) {
  document.dispatchEvent(new CustomEvent("fx:select", { detail: { id, from: "" } }));
}

function say(words) { root.querySelector(".fx-wait").textContent = words; }

function pathOf(polygons) {
  const path = new Path2D();
  polygons.forEach((points) => {
    points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  });
  return path;
}

// ---- the view

function size() { return { width: stage.clientWidth, height: stage.clientHeight }; }

// The stage is as high as the picture needs, within what the screen has.
function shape() {
  const wanted = (stage.clientWidth * state.scene.height) / state.scene.width;
  const most = Math.max(280, Math.min(innerHeight * 0.66, 680));
  stage.style.height = document.fullscreenElement === root ? "" : `${Math.round(clamp(wanted, 240, most))}px`;
}

function fit() {
  if (state.scene) shape();
  const { width, height } = size();
  if (!state.scene || !width || !height) return;
  view.scale = Math.min(width / state.scene.width, height / state.scene.height, 16);
  view.x = (width - state.scene.width * view.scale) / 2;
  view.y = (height - state.scene.height * view.scale) / 2;
  view.fitted = true;
  moved();
}

function zoomTo(scale, cx, cy) {
  if (!state.scene) return;
  const { width, height } = size();
  const [px, py] = [cx ?? width / 2, cy ?? height / 2];
  const least = Math.min(width / state.scene.width, height / state.scene.height, 1) / 2;
  const next = clamp(scale, least, 32);
  view.x = px - ((px - view.x) / view.scale) * next;
  view.y = py - ((py - view.y) / view.scale) * next;
  view.scale = next;
  view.fitted = false;
  moved();
}

function pan(dx, dy) { view.x += dx; view.y += dy; view.fitted = false; moved(); }

function moved() {
  const { width, height } = size();
  const margin = 60;
  view.x = clamp(view.x, margin - state.scene.width * view.scale, width - margin);
  view.y = clamp(view.y, margin - state.scene.height * view.scale, height - margin);
  root.querySelector(".fx-zoom-figure").textContent = `${Math.round(view.scale * devicePixelRatio * 100)} %`;
  draw();
  fetchTile();
}

let tileTimer = 0;
// Where the screen shows more than the overview holds, the visible part comes from the source itself, without loss.
function fetchTile() {
  clearTimeout(tileTimer);
  const scene = state.scene;
  if (!scene || (overview() >= 1 && scene.lossless) || view.scale * devicePixelRatio <= overview() * 1.05) return;
  tileTimer = setTimeout(async () => {
    const { width, height } = size();
    const box = [-view.x / view.scale, -view.y / view.scale, (width - view.x) / view.scale, (height - view.y) / view.scale];
    const [x0, y0, x1, y1] = [Math.floor(box[0]), Math.floor(box[1]), Math.ceil(box[2]), Math.ceil(box[3])];
    const want = [clamp(x0, 0, scene.width), clamp(y0, 0, scene.height), clamp(x1, 0, scene.width), clamp(y1, 0, scene.height)];
    if ((want[2] - want[0]) * (want[3] - want[1]) > 6e6 || want[2] <= want[0] || want[3] <= want[1]) return;
    try {
      const tile = await server.crop({ id: scene.id, box: want });
      if (state.scene !== scene) return;
      state.tile = { image: await loadImage(tile.picture), box: tile.box };
      draw();
    } catch { /* the overview stays */ }
  }, 160);
}

// ---- drawing

let frame = 0;
function draw() { if (!frame) frame = requestAnimationFrame(paint); }

function paint() {
  frame = 0;
  const { width, height } = size();
  if (!width || !height) return;
  const dpr = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dpr) || canvas.height !== Math.round(height * dpr)) {
    canvas.width = Math.round(width * dpr);
    canvas.height = Math.round(height * dpr);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  handle.hidden = slider.hidden = look.mode !== "slider" || !state.scene;
  if (!state.scene) return;
  context.setTransform(dpr * view.scale, 0, 0, dpr * view.scale, dpr * view.x, dpr * view.y);
  context.imageSmoothingEnabled = view.scale * dpr < 2;
  context.imageSmoothingQuality = "high";
  paintPicture(look.mode === "plain" && state.second ? state.second : state.picture);
  if (look.mode === "map") paintMap();
  if (look.mode === "marked" || look.mode === "slider") paintRegions();
  if (look.mode === "slider") paintBefore(width);
  if (look.mode !== "plain" && look.mode !== "slider") paintSelection();
  paintDraft(context);
}

function paintPicture(image) {
  const { width, height } = state.scene;
  context.drawImage(image, 0, 0, width, height);
  if (state.tile && image === state.picture) {
    const [x0, y0, x1, y1] = state.tile.box;
    context.drawImage(state.tile.image, x0, y0, x1 - x0, y1 - y0);
  }
}

function paintBefore(width) {
  const dpr = devicePixelRatio || 1;
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.beginPath();
  context.rect(0, 0, look.split * width * dpr, canvas.height);
  context.clip();
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(dpr * view.scale, 0, 0, dpr * view.scale, dpr * view.x, dpr * view.y);
  paintPicture(state.second || state.picture);
  context.restore();
  handle.style.left = `${look.split * 100}%`;
}

const shownRegions = () => state.scene.regions.filter((r) => r.shown || isSelected(r));
const isSelected = (region) => state.selected && (region.id === state.selected || region.evidence === state.selected);

function paintRegions() {
  const regions = shownRegions();
  const someSelected = regions.some(isSelected);
  regions.forEach((region) => {
    const dim = someSelected && !isSelected(region);
    context.globalAlpha = dim ? look.opacity * 0.35 : look.opacity * (isSelected(region) ? 1.5 : 1);
    context.fillStyle = region.colour;
    context.fill(region.path, "evenodd");
    context.globalAlpha = dim ? 0.45 : 1;
    if (look.contour) outline(region, isSelected(region));
    context.globalAlpha = 1;
  });
  const taken = [];
  regions.forEach((region) => label(region, someSelected && !isSelected(region), taken));
}

function paintSelection() {
  if (look.mode === "map") state.scene.regions.filter(isSelected).forEach((r) => { outline(r, true); label(r, false, []); });
}

function outline(region, strong) {
  const unit = 1 / view.scale;
  context.lineJoin = "round";
  context.setLineDash([]);
  context.strokeStyle = CASING;
  context.lineWidth = (strong ? 7 : 4.4) * unit;
  context.stroke(region.path);
  context.strokeStyle = region.colour;
  context.lineWidth = (strong ? 3.2 : 2) * unit;
  if (region.dashed) context.setLineDash([8 * unit, 5 * unit]);
  context.stroke(region.path);
  context.setLineDash([]);
}

// Each label keeps clear of those drawn before it.
function label(region, dim, taken) {
  if (!region.label) return;
  const unit = 1 / view.scale;
  context.save();
  context.globalAlpha = dim ? 0.55 : 1;
  context.font = `600 ${13 * unit}px system-ui, "Liberation Sans", sans-serif`;
  const wide = context.measureText(region.label).width + 12 * unit, tall = 21 * unit;
  let x = clamp(region.box_xyxy[0], 0, Math.max(0, state.scene.width - wide));
  const above = region.box_xyxy[1] - tall - 5 * unit;
  const y = above >= -view.y * unit && above >= 0 ? above : Math.min(region.box_xyxy[3] + 5 * unit, state.scene.height - tall);
  taken.forEach(([x0, y0, x1, y1]) => { if (x < x1 && x0 < x + wide && y < y1 && y0 < y + tall) x = x1 + 3 * unit; });
  x = clamp(x, 0, Math.max(0, state.scene.width - wide));
  taken.push([x, y, x + wide, y + tall]);
  context.beginPath();
  context.roundRect(x, y, wide, tall, 5 * unit);
  context.fillStyle = CASING;
  context.fill();
  context.strokeStyle = region.colour;
  context.lineWidth = 1.6 * unit;
  context.stroke();
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(region.label, x + 6 * unit, y + tall / 2 + unit);
  context.restore();
}

// Cividis at five stops, linear between them: perceptually even and safe for colour-blind readers.
const STOPS = [[0, 34, 78], [65, 77, 107], [124, 123, 120], [188, 175, 111], [254, 232, 56]];
function paintMap() {
  if (!state.map) return;
  if (state.scene.map_coloured) state.mapLook = { canvas: state.map, threshold: look.threshold };
  else if (!state.mapLook || state.mapLook.threshold !== look.threshold) state.mapLook = mapLook(look.threshold);
  context.save();
  context.globalAlpha = clamp(look.opacity * 2.6, 0, 1);
  context.imageSmoothingEnabled = true;
  context.drawImage(state.mapLook.canvas, 0, 0, state.scene.width, state.scene.height);
  context.restore();
}

function mapLook(threshold) {
  const out = document.createElement("canvas");
  out.width = state.map.naturalWidth;
  out.height = state.map.naturalHeight;
  const pen = out.getContext("2d", { willReadFrequently: true });
  pen.drawImage(state.map, 0, 0);
  const pixels = pen.getImageData(0, 0, out.width, out.height), data = pixels.data;
  const level = threshold * 255;
  for (let i = 0; i < data.length; i += 4) {
    const value = data[i], at = (value / 255) * 4, k = Math.min(3, Math.floor(at)), part = at - k;
    for (let c = 0; c < 3; c++) data[i + c] = STOPS[k][c] + (STOPS[k + 1][c] - STOPS[k][c]) * part;
    data[i + 3] = value >= level ? 255 : 0;
  }
  pen.putImageData(pixels, 0, 0);
  return { canvas: out, threshold };
}

// ---- what is chosen

function setMode(mode) {
  look.mode = mode;
  root.dataset.mode = mode;
  all("[data-mode-button]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.modeButton === mode)));
  all("[data-for]").forEach((l) => { l.hidden = !l.dataset.for.split(" ").includes(mode) || ("grey" in l.dataset && state.scene?.map_coloured); });
  draw();
}

function select(id, { quiet = false } = {}) {
  state.selected = id;
  root.dataset.selected = id;
  if (!state.scene) return;
  const chosen = state.scene.regions.filter(isSelected);
  const words = chosen.map((r) => `${r.label || r.id}: ${r.words}.`).join(" ");
  root.querySelector(".fx-caption").textContent = id && !chosen.length ? `${id} speaks of the file or of the whole picture.` : words;
  if (chosen.length && look.mode === "plain") setMode("marked");
  if (chosen.length && !quiet && !view.fitted) bringIntoView(chosen);
  draw();
}

function bringIntoView(regions) {
  const { width, height } = size();
  const boxes = regions.map((r) => r.box_xyxy);
  const box = [Math.min(...boxes.map((b) => b[0])), Math.min(...boxes.map((b) => b[1])), Math.max(...boxes.map((b) => b[2])), Math.max(...boxes.map((b) => b[3]))];
  const [left, top, right, bottom] = [box[0] * view.scale + view.x, box[1] * view.scale + view.y, box[2] * view.scale + view.x, box[3] * view.scale + view.y];
  if (left >= 0 && top >= 0 && right <= width && bottom <= height) return;
  view.scale = Math.min(view.scale, (width * 0.8) / (box[2] - box[0]), (height * 0.8) / (box[3] - box[1]));
  view.x = width / 2 - ((box[0] + box[2]) / 2) * view.scale;
  view.y = height / 2 - ((box[1] + box[3]) / 2) * view.scale;
  moved();
}
