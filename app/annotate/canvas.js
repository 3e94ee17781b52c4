// The picture and its mask: zoom, pan, brush and eraser by mouse, touch and keys. First part of the page's one function
// (desk.js and keys.js follow). `element` and `server` come from gr.HTML. The mask is exact: one byte a pixel, no soft edges.
const root = element.querySelector(".an");
const find = (selector) => root.querySelector(selector);
const all = (selector) => Array.from(root.querySelectorAll(selector));
const stage = find(".an-stage"), canvas = find(".an-canvas"), context = canvas.getContext("2d");
const view = { scale: 1, x: 0, y: 0, fitted: true };
const art = {
  picture: null, width: 0, height: 0, lossless: true, tile: null, task: 0, mask: null, sheet: null, maskWidth: 0, maskHeight: 0,
  draft: null, other: null, areas: [], showMask: true, showDraft: true, tool: "move", size: 40, pointer: null, keys: null,
};
const COLOURS = { mask: "#f0a614", draft: "#3a9bd9", other: "#2eb88a", casing: "rgba(16,18,22,.9)" };
let onStroke = () => {};
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const maskScale = () => art.maskWidth / art.width;

function loadImage(uri) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the picture cannot be shown"));
    image.src = uri;
  });
}

async function showPicture(task, given) {
  const image = await loadImage(given.picture);
  const [height, width] = given.mask_size;
  Object.assign(art, { picture: image, width: given.width, height: given.height, lossless: given.lossless, tile: null, task });
  Object.assign(art, { maskWidth: width, maskHeight: height, draft: null, other: null, areas: [], keys: null });
  art.mask = new Uint8Array(width * height);
  art.sheet = sheetOf(art.mask, COLOURS.mask);
  fit();
}

// ---- masks: bytes, run lengths (column by column, False first), coloured sheets to draw

function bytesOf(runs) {
  const bytes = new Uint8Array(art.maskWidth * art.maskHeight);
  if (!runs) return bytes;
  let at = 0, on = 0;
  for (const count of runs.counts) {
    if (on) {
      let x = Math.floor(at / art.maskHeight), y = at % art.maskHeight;
      for (let left = count; left > 0; left--) {
        bytes[y * art.maskWidth + x] = 1;
        if (++y === art.maskHeight) { y = 0; x++; }
      }
    }
    at += count;
    on ^= 1;
  }
  return bytes;
}

function runsOf(bytes) {
  const counts = [];
  let on = 0, count = 0;
  for (let x = 0; x < art.maskWidth; x++) {
    for (let y = 0, i = x; y < art.maskHeight; y++, i += art.maskWidth) {
      if (bytes[i] !== on) { counts.push(count); count = 0; on ^= 1; }
      count++;
    }
  }
  counts.push(count);
  return { size: [art.maskHeight, art.maskWidth], counts };
}

function sheetOf(bytes, colour) {
  const sheet = document.createElement("canvas");
  sheet.width = art.maskWidth;
  sheet.height = art.maskHeight;
  paintSheet(sheet, bytes, colour, 0, 0, art.maskWidth, art.maskHeight);
  return sheet;
}

function paintSheet(sheet, bytes, colour, x0, y0, x1, y1) {
  if (x1 <= x0 || y1 <= y0) return;
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const part = new ImageData(x1 - x0, y1 - y0), pixels = new Uint32Array(part.data.buffer);
  const on = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;  // every browser's machines are little-endian
  for (let y = y0, k = 0; y < y1; y++) {
    for (let x = x0, i = y * art.maskWidth + x0; x < x1; x++, i++, k++) if (bytes[i]) pixels[k] = on;
  }
  sheet.getContext("2d").putImageData(part, x0, y0);
}

function setMask(runs) {
  art.mask = bytesOf(runs);
  art.sheet = sheetOf(art.mask, COLOURS.mask);
  draw();
}
const setOutline = (name, runs) => { art[name] = runs ? sheetOf(bytesOf(runs), COLOURS[name]) : null; draw(); };
function setAreas(polygonSets) {
  art.areas = polygonSets.map((polygons) => {
    const path = new Path2D();
    polygons.forEach((points) => { points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y))); path.closePath(); });
    return path;
  });
  draw();
}

// One disc, in pixels of the mask; only what changed is drawn anew.
function stamp(cx, cy, radius, value) {
  const x0 = clamp(Math.floor(cx - radius), 0, art.maskWidth), x1 = clamp(Math.ceil(cx + radius) + 1, 0, art.maskWidth);
  const y0 = clamp(Math.floor(cy - radius), 0, art.maskHeight), y1 = clamp(Math.ceil(cy + radius) + 1, 0, art.maskHeight);
  let changed = false;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      if ((x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 > radius * radius) continue;
      const i = y * art.maskWidth + x;
      if (art.mask[i] !== value) { art.mask[i] = value; changed = true; }
    }
  }
  if (changed) paintSheet(art.sheet, art.mask, COLOURS.mask, x0, y0, x1, y1);
  return changed;
}

function strokeTo(from, to, value) {
  const k = maskScale(), radius = Math.max(0.5, (art.size / 2) * k);
  const [ax, ay, bx, by] = [from[0] * k, from[1] * k, to[0] * k, to[1] * k];
  const steps = Math.max(1, Math.ceil(Math.hypot(bx - ax, by - ay) / Math.max(1, radius / 3)));
  let changed = false;
  for (let i = 0; i <= steps; i++) changed = stamp(ax + ((bx - ax) * i) / steps, ay + ((by - ay) * i) / steps, radius, value) || changed;
  return changed;
}

// ---- the view

const extent = () => ({ width: stage.clientWidth, height: stage.clientHeight });
function fit() {
  if (!art.picture) return;
  const { width, height } = extent();
  view.scale = Math.min(width / art.width, height / art.height, 8);
  view.x = (width - art.width * view.scale) / 2;
  view.y = (height - art.height * view.scale) / 2;
  view.fitted = true;
  moved();
}
function zoomTo(scale, cx, cy) {
  if (!art.picture) return;
  const { width, height } = extent();
  const [px, py] = [cx ?? width / 2, cy ?? height / 2];
  const next = clamp(scale, Math.min(width / art.width, height / art.height, 1) / 2, 32);
  view.x = px - ((px - view.x) / view.scale) * next;
  view.y = py - ((py - view.y) / view.scale) * next;
  Object.assign(view, { scale: next, fitted: false });
  moved();
}
function pan(dx, dy) { view.x += dx; view.y += dy; view.fitted = false; moved(); }
function moved() {
  const { width, height } = extent(), margin = 60;
  view.x = clamp(view.x, margin - art.width * view.scale, width - margin);
  view.y = clamp(view.y, margin - art.height * view.scale, height - margin);
  find(".an-zoom").textContent = Math.round(view.scale * (devicePixelRatio || 1) * 100) + " %";
  draw();
  fetchTile();
}

let tileTimer = 0;
// Where the screen shows more than the overview holds, the visible part comes from the picture itself, without loss.
function fetchTile() {
  clearTimeout(tileTimer);
  const overview = art.picture.naturalWidth / art.width, task = art.task;
  if ((overview >= 1 && art.lossless) || view.scale * (devicePixelRatio || 1) <= overview * 1.05) return;
  tileTimer = setTimeout(async () => {
    const { width, height } = extent();
    const box = [Math.floor(-view.x / view.scale), Math.floor(-view.y / view.scale), Math.ceil((width - view.x) / view.scale), Math.ceil((height - view.y) / view.scale)];
    const want = [clamp(box[0], 0, art.width), clamp(box[1], 0, art.height), clamp(box[2], 0, art.width), clamp(box[3], 0, art.height)];
    if ((want[2] - want[0]) * (want[3] - want[1]) > 6e6 || want[2] <= want[0] || want[3] <= want[1]) return;
    try {
      const tile = await server.annotate({ do: "crop", task, box: want });
      if (!tile.ok || task !== art.task) return;
      art.tile = { image: await loadImage(tile.picture), box: tile.box };
      draw();
    } catch { /* the overview stays */ }
  }, 160);
}

let frame = 0;
const ring = document.createElement("canvas"), body = document.createElement("canvas");
function draw() { if (!frame) frame = requestAnimationFrame(paint); }
function paint() {
  frame = 0;
  const { width, height } = extent(), dpr = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (!w || !h) return;
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  if (!art.picture) return;
  const place = (pen) => pen.setTransform(dpr * view.scale, 0, 0, dpr * view.scale, dpr * view.x, dpr * view.y);
  place(context);
  context.imageSmoothingEnabled = view.scale * dpr < 2;
  context.imageSmoothingQuality = "high";
  context.drawImage(art.picture, 0, 0, art.width, art.height);
  if (art.tile) {
    const [x0, y0, x1, y1] = art.tile.box;
    context.drawImage(art.tile.image, x0, y0, x1 - x0, y1 - y0);
  }
  if (art.showMask) paintMask(art.sheet, COLOURS.mask, 0.36, place, w, h);
  if (art.showDraft && art.draft) paintMask(art.draft, COLOURS.draft, 0, place, w, h);
  if (art.other) paintMask(art.other, COLOURS.other, 0.12, place, w, h);
  context.setTransform(1, 0, 0, 1, 0, 0);
  place(context);
  const unit = 1 / view.scale;
  art.areas.forEach((path) => {
    context.setLineDash([]);
    context.strokeStyle = COLOURS.casing;
    context.lineWidth = 5 * unit;
    context.stroke(path);
    context.setLineDash([9 * unit, 6 * unit]);
    context.strokeStyle = "#fff";
    context.lineWidth = 2.4 * unit;
    context.stroke(path);
  });
  context.setLineDash([]);
  const at = art.keys || art.pointer;
  if (at && (art.tool !== "move" || art.keys)) {
    [[COLOURS.casing, 4], [art.tool === "erase" ? "#fff" : COLOURS.mask, 2]].forEach(([colour, wide]) => {
      context.beginPath();
      context.arc(at[0], at[1], art.size / 2, 0, 7);
      context.strokeStyle = colour;
      context.lineWidth = wide * unit;
      context.stroke();
    });
  }
}

// A tint, and a line along the edge of the same width at every zoom: the shape grown by two pixels, less the shape.
function paintMask(sheet, colour, tint, place, w, h) {
  for (const part of [body, ring]) if (part.width !== w || part.height !== h) [part.width, part.height] = [w, h];
  const pen = body.getContext("2d"), edge = ring.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, w, h);
  place(pen);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, 0, 0, art.width, art.height);
  edge.globalCompositeOperation = "source-over";
  edge.clearRect(0, 0, w, h);
  for (const [dx, dy] of [[2, 0], [-2, 0], [0, 2], [0, -2], [1.5, 1.5], [-1.5, -1.5], [1.5, -1.5], [-1.5, 1.5]]) edge.drawImage(body, dx, dy);
  edge.globalCompositeOperation = "destination-out";
  edge.drawImage(body, 0, 0);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = tint;
  if (tint) context.drawImage(body, 0, 0);
  context.globalAlpha = 1;
  context.drawImage(ring, 0, 0);
  place(context);
}

// ---- mouse and touch

function toSource(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left - view.x) / view.scale, (event.clientY - box.top - view.y) / view.scale];
}
let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  if (!art.picture || (event.button !== 0 && event.button !== 1)) return;
  canvas.setPointerCapture(event.pointerId);
  art.keys = null;
  const at = toSource(event), painting = art.tool !== "move" && event.button === 0 && art.editable;
  drag = { painting, at, x: event.clientX, y: event.clientY, changed: false };
  if (painting) {
    drag.changed = strokeTo(at, at, art.tool === "add" ? 1 : 0);
    draw();
  }
});
canvas.addEventListener("pointermove", (event) => {
  art.pointer = art.picture ? toSource(event) : null;
  if (drag && drag.painting) {
    const events = event.getCoalescedEvents?.() || [event];
    for (const e of events.length ? events : [event]) {
      const at = toSource(e);
      drag.changed = strokeTo(drag.at, at, art.tool === "add" ? 1 : 0) || drag.changed;
      drag.at = at;
    }
  } else if (drag) {
    pan(event.clientX - drag.x, event.clientY - drag.y);
    [drag.x, drag.y] = [event.clientX, event.clientY];
  }
  draw();
});
const endDrag = () => {
  const done = drag;
  drag = null;
  if (done && done.painting && done.changed) onStroke();
};
canvas.addEventListener("pointerup", endDrag);
canvas.addEventListener("pointercancel", endDrag);
canvas.addEventListener("pointerleave", () => { art.pointer = null; draw(); });
canvas.addEventListener("wheel", (event) => {
  if (!art.picture) return;
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoomTo(view.scale * Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
new ResizeObserver(() => { if (view.fitted) fit(); else draw(); }).observe(stage);

// ---- painting by keys: a circle that arrow keys move and the space bar prints

function startKeys() {
  const { width, height } = extent();
  if (art.tool === "move") setTool("add");
  art.keys = [clamp((width / 2 - view.x) / view.scale, 0, art.width), clamp((height / 2 - view.y) / view.scale, 0, art.height)];
  draw();
}
function keysMove(dx, dy, far) {
  const step = far ? art.size : Math.max(1, art.size / 8);
  art.keys = [clamp(art.keys[0] + dx * step, 0, art.width), clamp(art.keys[1] + dy * step, 0, art.height)];
  draw();
}
function keysPrint() {
  if (strokeTo(art.keys, art.keys, art.tool === "erase" ? 0 : 1)) onStroke();
  draw();
}
function setTool(tool) {
  art.tool = tool;
  root.dataset.tool = tool;
  if (tool === "move") art.keys = null;
  all("[data-tool-button]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.toolButton === tool)));
  draw();
}
function setSize(size) {
  art.size = clamp(Math.round(size), 2, Math.max(200, Math.round(art.width / 3)));
  find(".an-size").value = String(art.size);
  draw();
}
