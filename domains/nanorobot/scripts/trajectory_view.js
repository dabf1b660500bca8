// Trajectory viewer: orthographic projection on a canvas, painted from back to front.
(root, data) => {
  const get = (role) => root.querySelector(`[data-role="${role}"]`);
  const canvas = get("view"), context = canvas.getContext("2d");
  const state = { azimuth: -0.95, elevation: 0.42, zoom: 1, time: data.duration, arm: -1, start: 0, playing: false };
  const SCALE = 1000, PLAY_SECONDS = 12, FAR = 0.35;
  const css = (name, fallback) => getComputedStyle(root).getPropertyValue(name).trim() || fallback;
  let colours = {}, view = {}, slices = [];

  // Colours of the page, read anew when it turns dark or light.
  function readColours() {
    const paper = css("--paper", "#ffffff");
    const probe = rgb(paper), dark = 0.3 * probe[0] + 0.6 * probe[1] + 0.1 * probe[2] < 128;
    colours = {
      ink: css("--ink", "#1c2530"), soft: css("--soft", "#5b6875"), grid: css("--grid", "#e3e8ee"), paper, dark,
      series: data.arms.map((_, index) => css(`--series-${(index % 8) + 1}`, "#1f6fb2")),
      ramp: (dark ? ["#22384a", "#27566e", "#2f7f86", "#7dba7b", "#f3dc7c"]
        : ["#e6f0f2", "#c3dfe1", "#79bcb9", "#2c8c99", "#174a6e"]).map(rgb),
      path: (dark ? ["#4d5c6b", "#9a6fb0", "#e0708c", "#f7a56a", "#fff2c2"]
        : ["#b4bdc7", "#c79bc4", "#c9508a", "#a3265c", "#4a0c2e"]).map(rgb),
      tumour: dark ? [["#ffb0a3", "#d9584a", "#8c2b23"]] : [["#ffc9be", "#d9584a", "#9c2f25"]],
      rock: dark ? ["#aab4be", "#75808b", "#434c55"] : ["#f2f4f6", "#b3bcc5", "#7c8792"],
    };
    slices = data.scenes.map(paintSlice);
  }
  function rgb(text) {
    const hex = text.replace("#", ""), full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
    return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16));
  }
  function onRamp(ramp, share) {
    const place = Math.min(0.9999, Math.max(0, share)) * (ramp.length - 1), low = Math.floor(place), part = place - low;
    return ramp[low].map((value, index) => Math.round(value + part * (ramp[low + 1][index] - value)));
  }
  const asText = (colour) => `rgb(${colour.join(",")})`;

  // The slice of the field as a small image; the projection of a plane is affine, so the canvas stretches it exactly.
  function paintSlice(scene) {
    const cells = data.field.cells, image = document.createElement("canvas");
    image.width = image.height = cells;
    const pen = image.getContext("2d"), pixels = pen.createImageData(cells, cells);
    scene.slice.forEach((level, at) => {
      // Where there is little, the plane is clear: what lies below it stays visible.
      const share = level / data.field.levels, opacity = Math.min(1, 0.1 + 1.7 * share);
      pixels.data.set([...onRamp(colours.ramp, share), Math.round(235 * opacity)], 4 * at);
    });
    pen.putImageData(pixels, 0, 0);
    return image;
  }

  // Contours by marching squares, at twice the lowest concentration, four times, ...
  function contours(scene) {
    const { cells, low, high, levels } = data.field, found = [];
    const span = Math.log(high / low);
    const at = (i) => (((i + 0.5) / cells) * 2 - 1) * data.half;
    for (let value = 2 * niceLow(); value < high; value *= 2) {
      const goal = (levels * Math.log(value / low)) / span, lines = [];
      for (let j = 0; j + 1 < cells; j++) for (let i = 0; i + 1 < cells; i++) {
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        const heights = corners.map(([a, b]) => scene.slice[b * cells + a] - goal), cuts = [];
        for (let edge = 0; edge < 4; edge++) {
          const next = (edge + 1) % 4, a = heights[edge], b = heights[next];
          if (a < 0 === b < 0) continue;
          const part = a / (a - b), [p, q] = [corners[edge], corners[next]];
          cuts.push([at(p[0] + part * (q[0] - p[0])), at(p[1] + part * (q[1] - p[1]))]);
        }
        for (let cut = 0; cut + 1 < cuts.length; cut += 2) lines.push([cuts[cut], cuts[cut + 1]]);
      }
      if (lines.length) found.push({ value, lines });
    }
    return found;
  }
  const niceLow = () => data.field.unit ? Math.max(1, Math.pow(2, Math.ceil(Math.log2(data.field.low)))) : data.field.low;
  const allContours = data.scenes.map(contours);

  function project(x, y, z) {
    return [
      view.cx + view.scale * (x * view.right[0] + y * view.right[1]),
      view.cy - view.scale * (x * view.up[0] + y * view.up[1] + z * view.up[2]),
      x * view.near[0] + y * view.near[1] + z * view.near[2],
    ];
  }
  function aim() {
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    const width = Math.max(200, box.width), height = Math.max(200, box.height);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const { azimuth: a, elevation: e } = state;
    view = {
      width, height, ratio, cx: width / 2, cy: height / 2,
      scale: (state.zoom * Math.min(width, height * 1.12)) / (data.half * 3.7),
      right: [-Math.sin(a), Math.cos(a)],
      up: [-Math.cos(a) * Math.sin(e), -Math.sin(a) * Math.sin(e), Math.cos(e)],
      near: [Math.cos(a) * Math.cos(e), Math.sin(a) * Math.cos(e), Math.sin(e)],
    };
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
  }
  function stroke(points, colour, width, alpha) {
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    context.globalAlpha = 1;
  }

  // The edges of the box that meet its nearest corner are left out: the box is open to the reader.
  function drawBox() {
    const h = data.half, sign = view.near.map((part) => (part >= 0 ? 1 : -1));
    for (let axis = 0; axis < 3; axis++) {
      const [b, c] = [(axis + 1) % 3, (axis + 2) % 3];
      for (const s of [-1, 1]) for (const t of [-1, 1]) {
        if (s === sign[b] && t === sign[c]) continue;
        const ends = [-h, h].map((value) => {
          const point = [0, 0, 0];
          point[axis] = value;
          point[b] = s * h;
          point[c] = t * h;
          return project(...point);
        });
        stroke(ends, colours.soft, 1, s === -sign[b] && t === -sign[c] ? 0.3 : 0.6);
      }
    }
    drawTicks(h, sign);
  }
  function tickStep() {
    const raw = (2 * data.half) / 5, size = Math.pow(10, Math.floor(Math.log10(raw)));
    return [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((step) => step >= raw * 0.999);
  }
  function drawTicks(h, sign) {
    const step = tickStep(), middle = project(0, 0, 0);
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const floor = -sign[2] * h;
    const edges = [
      [0, (v) => [v, sign[1] * h, floor], "x (µm)"],
      [1, (v) => [sign[0] * h, v, floor], "y (µm)"],
    ];
    // Of the two upright edges at the sides, the left one carries the heights.
    const sides = [[sign[0], -sign[1]], [-sign[0], sign[1]]].map(([a, b]) => [a * h, b * h]);
    const left = sides.sort((p, q) => project(p[0], p[1], 0)[0] - project(q[0], q[1], 0)[0])[0];
    edges.push([2, (v) => [left[0], left[1], v], "z (µm)"]);
    for (const [axis, place, title] of edges) {
      const centre = project(...place(0)), away = [centre[0] - middle[0], centre[1] - middle[1]];
      if (axis < 2) away[1] = Math.max(away[1], 40);
      else away[1] = 0;
      const long = Math.hypot(...away) || 1, out = away.map((part) => part / long);
      for (let value = -Math.floor(h / step) * step; value <= h; value += step) {
        const [x, y] = project(...place(value));
        stroke([[x, y], [x + 5 * out[0], y + 5 * out[1]]], colours.soft, 1, 0.7);
        // Where two axes meet, their numbers would lie on each other.
        if (axis < 2 && value * sign[axis] > 0.95 * h) continue;
        context.fillStyle = colours.soft;
        context.fillText(String(Math.round(value)).replace("-", "−"), x + 20 * out[0], y + 16 * out[1]);
      }
      context.fillStyle = colours.ink;
      const unit = data.field.unit ? title : title[0];
      context.fillText(unit, centre[0] + 56 * out[0], centre[1] + 38 * out[1]);
    }
  }

  // Draws the plane and returns the labels of its contours, which are written last.
  function drawSlice(sceneIndex) {
    const scene = data.scenes[sceneIndex], z = scene.tumours[0][2], h = data.half, cells = data.field.cells;
    const found = [];
    const origin = project(-h, -h, z), alongX = project(h, -h, z), alongY = project(-h, h, z);
    context.save();
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.transform(
      (alongX[0] - origin[0]) / cells, (alongX[1] - origin[1]) / cells,
      (alongY[0] - origin[0]) / cells, (alongY[1] - origin[1]) / cells, origin[0], origin[1]);
    context.drawImage(slices[sceneIndex], 0, 0);
    context.restore();
    for (const { value, lines } of allContours[sceneIndex]) {
      context.beginPath();
      let rightmost = [-1e9, 0];
      for (const [[a, b], [c, d]] of lines) {
        const p = project(a, b, z), q = project(c, d, z);
        context.moveTo(p[0], p[1]);
        context.lineTo(q[0], q[1]);
        if (p[0] > rightmost[0]) rightmost = p;
      }
      context.globalAlpha = 0.75;
      context.strokeStyle = colours.dark ? "#d7e6ea" : "#1d5a70";
      context.lineWidth = 0.9;
      context.stroke();
      context.globalAlpha = 1;
      const text = `${Number(value.toPrecision(2))}${data.field.unit ? " " + data.field.unit : ""}`;
      found.push([text, ...rightmost]);
    }
    stroke([origin, alongX, project(h, h, z), alongY, origin], colours.soft, 0.8, 0.5);
    return found;
  }
  // From the outermost contour inwards, those that have room.
  function writeApart(labels) {
    const placed = [];
    for (const [text, x, y] of labels) {
      if (placed.some(([a, b]) => Math.abs(a - x) < 36 && Math.abs(b - y) < 16)) continue;
      placed.push([x, y]);
      label(text, x, y);
    }
  }
  function label(text, x, y) {
    context.font = "600 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3.5;
    context.strokeStyle = colours.paper;
    context.strokeText(text, x, y);
    context.fillStyle = colours.ink;
    context.fillText(text, x, y);
  }

  function ball(x, y, z, radius, shades) {
    const [px, py] = project(x, y, z), r = Math.max(2, radius * view.scale);
    const light = context.createRadialGradient(px - 0.35 * r, py - 0.4 * r, 0.1 * r, px, py, r);
    shades.forEach((shade, at) => light.addColorStop(at / (shades.length - 1), shade));
    context.fillStyle = light;
    context.beginPath();
    context.arc(px, py, r, 0, 2 * Math.PI);
    context.fill();
  }

  const isShown = (run) => (state.arm < 0 || run.arm === state.arm) && (state.start < 0 || run.start === state.start);
  const colourOf = (run, level) => state.colour === "concentration"
    ? asText(onRamp(colours.path, level / data.field.levels)) : colours.series[run.arm];

  // Pieces of all paths up to the present time, each with its depth, and the marks at their ends.
  function pieces() {
    const found = [], unit = data.half / SCALE, many = data.runs.filter(isShown).length;
    const width = many > 24 ? 1.3 : many > 8 ? 1.6 : 2.1;
    for (const run of data.runs.filter(isShown)) {
      const count = run.path.length / 4, until = Math.min(state.time, run.end);
      const point = (i) => [0, 1, 2].map((axis) => run.path[4 * i + axis] * unit);
      const timeOf = (i) => Math.min(i * data.step, run.end);
      let before = point(0), head = before, level = run.path[3];
      for (let i = 1; i < count && timeOf(i - 1) < until; i++) {
        let after = point(i);
        const part = Math.min(1, (until - timeOf(i - 1)) / Math.max(1e-9, timeOf(i) - timeOf(i - 1)));
        after = before.map((value, axis) => value + part * (after[axis] - value));
        level = run.path[4 * i + 3];
        const [p, q] = [project(...before), project(...after)], colour = colourOf(run, level);
        const depth = (p[2] + q[2]) / 2, dim = FAR + (1 - FAR) * (0.5 + depth / (3.4 * data.half));
        found.push({ depth, z: (before[2] + after[2]) / 2, draw: () => stroke([p, q], colour, width, dim) });
        before = head = after;
      }
      found.push(mark(point(0), (x, y) => ring(x, y, 4, colours.ink, null)));
      const done = state.time >= run.end, colour = colourOf(run, level);
      found.push(mark(head, (x, y) => {
        if (done && !run.found) cross(x, y, colour);
        else ring(x, y, done ? 5 : 4, colours.paper, colour);
      }));
    }
    return found;
  }
  function mark(place, draw) {
    const [x, y, depth] = project(...place);
    // Marks come after the pieces of path that end at them.
    return { depth: depth + 0.02 * data.half, z: place[2], draw: () => draw(x, y) };
  }
  function ring(x, y, radius, edge, fill) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    if (fill) {
      context.fillStyle = fill;
      context.fill();
    }
    context.lineWidth = 1.4;
    context.strokeStyle = edge;
    context.stroke();
  }
  function cross(x, y, colour) {
    stroke([[x - 4, y - 4], [x + 4, y + 4]], colour, 2, 1);
    stroke([[x - 4, y + 4], [x + 4, y - 4]], colour, 2, 1);
  }

  function draw() {
    aim();
    drawBox();
    const first = data.runs.find(isShown), sceneIndex = first ? first.scene : 0, scene = data.scenes[sceneIndex];
    const all = pieces(), plane = scene.tumours[0][2], above = view.near[2] >= 0;
    for (const [x, y, z] of scene.tumours) {
      const depth = project(x, y, z)[2];
      all.push({ depth, z, draw: () => ball(x, y, z, data.radius, colours.tumour[0]) });
    }
    for (const [x, y, z, radius] of data.obstacles) {
      all.push({ depth: project(x, y, z)[2], z, draw: () => ball(x, y, z, radius, colours.rock) });
    }
    all.sort((a, b) => a.depth - b.depth);
    const isBehind = (piece) => (above ? piece.z < plane : piece.z > plane);
    all.filter(isBehind).forEach((piece) => piece.draw());
    const labels = get("field").checked ? drawSlice(sceneIndex) : [];
    all.filter((piece) => !isBehind(piece)).forEach((piece) => piece.draw());
    writeApart(labels);
    get("clock").textContent = `${state.time.toFixed(data.duration < 10 ? 2 : 0)} / ${data.duration} s`;
    drawLegend();
  }
  // How many of the shown robots of each arm have arrived by now, and the scale of the colours.
  function drawLegend() {
    const parts = data.arms.map((name, arm) => {
      const own = data.runs.filter((run) => isShown(run) && run.arm === arm);
      if (!own.length) return "";
      const found = own.filter((run) => run.found && run.end <= state.time).length;
      const chip = document.createElement("span");
      chip.textContent = `${name}: ${found} of ${own.length} arrived`;
      const colour = state.colour === "concentration" ? colours.soft : colours.series[arm];
      return `<span><i style="display:inline-block;width:11px;height:11px;border-radius:3px;background:${colour};`
        + `margin-right:6px"></i>${chip.innerHTML}</span>`;
    });
    const ramp = (stops, title) => `<span style="color:var(--soft,#5b6875)">${title} ${tick(data.field.low)} `
      + `<i style="display:inline-block;width:90px;height:10px;border-radius:2px;vertical-align:-1px;`
      + `background:linear-gradient(90deg,${stops.map(asText).join(",")})"></i> ${tick(data.field.high)} `
      + `${data.field.unit} (log)</span>`;
    if (get("field").checked) parts.push(ramp(colours.ramp, "plane"));
    if (state.colour === "concentration") parts.push(ramp(colours.path, "paths"));
    get("legend").innerHTML = parts.join("");
  }
  const tick = (value) => String(Number(value.toPrecision(2)));

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }
  function show(time) {
    state.time = time;
    get("time").value = (1000 * time) / data.duration;
    draw();
  }
  function play() {
    state.playing = !state.playing;
    get("play").textContent = state.playing ? "Pause" : "Play";
    if (!state.playing) return;
    if (state.time >= data.duration) show(0);
    let last = performance.now();
    const tickOn = (now) => {
      if (!state.playing) return;
      show(Math.min(data.duration, state.time + ((now - last) / 1000 / PLAY_SECONDS) * data.duration));
      last = now;
      if (state.time >= data.duration) play();
      else requestAnimationFrame(tickOn);
    };
    requestAnimationFrame(tickOn);
  }
  function turn(byAzimuth, byElevation) {
    state.azimuth -= byAzimuth;
    state.elevation = Math.max(-1.5, Math.min(1.5, state.elevation + byElevation));
    redraw();
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.style.cursor = "grabbing";
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) turn(0.008 * event.movementX, 0.008 * event.movementY);
  });
  canvas.addEventListener("pointerup", () => (canvas.style.cursor = "grab"));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    state.zoom = Math.max(0.6, Math.min(6, state.zoom * Math.exp(-0.002 * event.deltaY)));
    redraw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (!by) return;
    event.preventDefault();
    turn(...by);
  });
  get("play").addEventListener("click", play);
  get("time").addEventListener("input", () => {
    state.time = (get("time").value / 1000) * data.duration;
    redraw();
  });
  for (const role of ["arm", "start", "colour", "field"]) get(role).addEventListener("change", () => {
    for (const key of ["arm", "start"]) state[key] = Number(get(key).value);
    state.colour = get("colour").value;
    redraw();
  });
  state.start = Number(get("start").value);
  state.colour = get("colour").value;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas);
  readColours();
  draw();
}
