// The viewer of one part beside its reference: turns by dragging, zooms by the wheel, draws only when something changed.
function showPart(root, data) {
  const get = (role) => root.querySelector(`[data-role="${role}"]`);
  const canvas = get("view"), context = canvas.getContext("2d");
  const meshes = { prediction: readMesh(data.prediction), reference: data.reference && readMesh(data.reference) };
  const shownMeshes = Object.values(meshes).filter(Boolean);
  const low = [0, 1, 2].map((axis) => Math.min(...shownMeshes.map((mesh) => mesh.low[axis])));
  const high = [0, 1, 2].map((axis) => Math.max(...shownMeshes.map((mesh) => mesh.high[axis])));
  const centre = low.map((value, axis) => (value + high[axis]) / 2);
  const reach = Math.hypot(...low.map((value, axis) => high[axis] - value)) / 2 || 1;
  const state = { shown: data.reference ? "both" : "prediction", zoom: 1, ...data.views[0] };
  const RADIANS = Math.PI / 180, FILL = 0.76, CLEAR = 0.42;
  let colours = {};

  // The page's colours, read anew when it turns dark or light.
  function readColours() {
    const css = (name, fallback) => getComputedStyle(root).getPropertyValue(name).trim() || fallback;
    const paper = rgb(css("--paper", "#ffffff"));
    colours = {
      paper, ink: css("--ink", "#1c2530"), soft: css("--soft", "#5b6875"), line: rgb(css("--ink", "#1c2530")),
      prediction: rgb(css("--series-1", "#1f6fb2")), reference: rgb(css("--series-2", "#d2691e")),
    };
    if (0.3 * paper[0] + 0.6 * paper[1] + 0.1 * paper[2] < 128) colours.line = [8, 12, 16];
  }
  function rgb(text) {
    const hex = text.replace("#", ""), full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
    return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16));
  }
  // Lamps darken a colour: a lighter one keeps the part's tone near the page's.
  const lightened = (colour) => colour.map((part) => part + 0.35 * (255 - part));

  function axesOf({ azimuth, elevation }) {
    const [a, e] = [azimuth * RADIANS, elevation * RADIANS];
    const right = [-Math.sin(a), Math.cos(a), 0];
    const near = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)];
    return { right, near, up: [-Math.sin(e) * Math.cos(a), -Math.sin(e) * Math.sin(a), Math.cos(e)] };
  }
  const along = (axis, x, y, z) => axis[0] * x + axis[1] * y + axis[2] * z;
  const cornersOf = (from, to) => [0, 1, 2, 3, 4, 5, 6, 7].map((at) =>
    [0, 1, 2].map((axis) => ((at >> axis) & 1 ? to : from)[axis]));

  // One scale for all views, at which the box fits into each of the views with a button.
  function scaleFor(width, height) {
    const half = low.map((value, axis) => (high[axis] - value) / 2);
    const fits = data.views.map((view) => {
      const { right, up } = axesOf(view), extent = (axis) => along(axis.map(Math.abs), ...half) || 1e-6;
      return Math.min(width / 2 / extent(right), height / 2 / extent(up));
    });
    return FILL * Math.min(...fits);
  }
  function layersFor() {
    const line = { lineColour: colours.line, lineOpacity: 0.85 };
    const solid = (name) => ({ mesh: meshes[name], colour: lightened(colours[name]), opacity: 1, push: 0, ...line });
    if (state.shown !== "both") return [solid(state.shown)];
    // Where the two surfaces coincide, the part that was built is the nearer one.
    const clear = { opacity: CLEAR, push: 0.006 * reach, lineColour: colours.reference, lineOpacity: 0.9 };
    return [solid("prediction"), { ...solid("reference"), ...clear }];
  }
  function sceneFor(ratio) {
    const box = canvas.getBoundingClientRect();
    const [width, height] = [box.width, box.height].map((length) => Math.max(1, Math.round(length * ratio)));
    return {
      width, height, centre, reach, ...axesOf(state), scale: scaleFor(width, height) * state.zoom,
      linePull: 0.007 * reach, paper: colours.paper, light: data.light, layers: layersFor(),
    };
  }

  // Browsers take an idle page's context away at times: the plain painter then goes on.
  function painter() {
    const shared = (window.sciRLPartPainter ??= makeGlPainter() ?? makeCanvasPainter());
    return shared.lost() ? (window.sciRLPartPainter = makeCanvasPainter()) : shared;
  }
  function draw() {
    const ratio = window.devicePixelRatio || 1, scene = sceneFor(ratio);
    if (scene.width < 2 || scene.height < 2) return;
    if (canvas.width !== scene.width || canvas.height !== scene.height) {
      canvas.width = scene.width;
      canvas.height = scene.height;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(painter().paint(scene), 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawSizes(scene, ratio);
  }

  function drawSizes(scene, ratio) {
    const mesh = meshes[state.shown === "reference" ? "reference" : "prediction"];
    const project = (point) => {
      const moved = point.map((value, axis) => value - centre[axis]);
      return [
        (scene.width / 2 + scene.scale * along(scene.right, ...moved)) / ratio,
        (scene.height / 2 - scene.scale * along(scene.up, ...moved)) / ratio,
      ];
    };
    const middle = project(mesh.low.map((value, axis) => (value + mesh.high[axis]) / 2));
    const corners = cornersOf(mesh.low, mesh.high).map(project);
    for (let axis = 0; axis < 3; axis++) {
      const edges = corners.map((_, at) => at).filter((at) => !((at >> axis) & 1))
        .map((at) => [corners[at], corners[at | (1 << axis)]]);
      // Lengths and widths stand at the lower rim of the picture, the height at its left.
      const place = ([[x0, y0], [x1, y1]]) => (axis < 2 ? y0 + y1 - 0.01 * (x0 + x1) : -(x0 + x1));
      const edge = edges.reduce((best, other) => (place(other) > place(best) ? other : best));
      drawSize(...edge, middle, mesh.labels[axis]);
    }
  }
  function drawSize([x0, y0], [x1, y1], middle, text) {
    const length = Math.hypot(x1 - x0, y1 - y0);
    if (length < 14) return;
    let across = [(y0 - y1) / length, (x1 - x0) / length];
    if (across[0] * ((x0 + x1) / 2 - middle[0]) + across[1] * ((y0 + y1) / 2 - middle[1]) < 0) {
      across = across.map((part) => -part);
    }
    const off = (x, y, by) => [x + by * across[0], y + by * across[1]];
    context.strokeStyle = colours.soft;
    context.lineWidth = 1;
    context.beginPath();
    for (const [x, y] of [[x0, y0], [x1, y1]]) {
      context.moveTo(...off(x, y, 4));
      context.lineTo(...off(x, y, 18));
    }
    context.moveTo(...off(x0, y0, 13));
    context.lineTo(...off(x1, y1, 13));
    context.stroke();
    context.font = "600 12px system-ui, sans-serif";
    const half = context.measureText(text).width / 2;
    const at = off((x0 + x1) / 2, (y0 + y1) / 2, 20 + Math.abs(across[0]) * half + Math.abs(across[1]) * 4);
    const x = Math.max(half + 2, Math.min(canvas.clientWidth - half - 2, at[0]));
    const y = Math.max(9, Math.min(canvas.clientHeight - 9, at[1]));
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeStyle = `rgb(${colours.paper.join()})`;
    context.strokeText(text, x, y);
    context.fillStyle = colours.ink;
    context.fillText(text, x, y);
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }
  function turn(byAzimuth, byElevation) {
    state.azimuth -= byAzimuth;
    state.elevation = Math.max(-90, Math.min(90, state.elevation + byElevation));
    redraw();
  }
  function zoom(factor) {
    state.zoom = Math.max(0.4, Math.min(20, state.zoom * factor));
    redraw();
  }
  function look(view) {
    Object.assign(state, view, { zoom: 1 });
    redraw();
  }
  function show(name) {
    state.shown = name;
    for (const button of root.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === name));
    }
    redraw();
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.style.cursor = "grabbing";
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) turn(0.5 * event.movementX, 0.5 * event.movementY);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (canvas.style.cursor = "grab"));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [-6, 0], ArrowRight: [6, 0], ArrowUp: [0, -6], ArrowDown: [0, 6] }[event.key];
    const zooms = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }[event.key];
    if (!turns && !zooms) return;
    event.preventDefault();
    if (turns) turn(...turns);
    else zoom(zooms);
  });
  for (const button of root.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => show(button.dataset.show));
  }
  root.querySelectorAll("[data-look]").forEach((button, at) => {
    button.addEventListener("click", () => look(data.views[at]));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas);
  readColours();
  show(state.shown);
}
