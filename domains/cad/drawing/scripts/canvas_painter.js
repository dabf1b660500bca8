// Paints scenes without WebGL: a depth buffer in plain arrays, copied to a 2D canvas.
function makeCanvasPainter() {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");

  function seen(points, at, scene) {
    const x = points[at] - scene.centre[0], y = points[at + 1] - scene.centre[1], z = points[at + 2] - scene.centre[2];
    const along = (axis) => x * axis[0] + y * axis[1] + z * axis[2];
    const right = along(scene.right), up = along(scene.up), near = along(scene.near);
    return [scene.width / 2 + scene.scale * right, scene.height / 2 - scene.scale * up, near];
  }
  function toneOf(normals, at, scene) {
    const along = (axis) => normals[at] * axis[0] + normals[at + 1] * axis[1] + normals[at + 2] * axis[2];
    const near = along(scene.near), side = near < 0 ? -1 : 1, { towards, ambient, key, head } = scene.light;
    const lit = side * (towards[0] * along(scene.right) + towards[1] * along(scene.up) + towards[2] * near);
    return ambient + key * Math.max(0, lit) + head * side * near;
  }
  // Value = a + b x + c y through three points.
  function plane([x0, y0], [x1, y1], [x2, y2], [v0, v1, v2]) {
    const area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
    const b = ((v1 - v0) * (y2 - y0) - (v2 - v0) * (y1 - y0)) / area;
    const c = ((v2 - v0) * (x1 - x0) - (v1 - v0) * (x2 - x0)) / area;
    return [v0 - b * x0 - c * y0, b, c];
  }
  function fill(corners, tones, depth, tone, scene) {
    const ys = corners.map((corner) => corner[1]);
    const last = Math.min(scene.height, Math.ceil(Math.max(...ys) - 0.5));
    const nearness = plane(...corners, corners.map((corner) => corner[2])), shade = plane(...corners, tones);
    if (!Number.isFinite(nearness[1])) return;
    for (let row = Math.max(0, Math.ceil(Math.min(...ys) - 0.5)); row < last; row++) {
      const y = row + 0.5;
      let left = Infinity, right = -Infinity;
      for (let side = 0; side < 3; side++) {
        const [x0, y0] = corners[side], [x1, y1] = corners[(side + 1) % 3];
        if (y0 <= y === y1 <= y) continue;
        const x = x0 + ((x1 - x0) * (y - y0)) / (y1 - y0);
        left = Math.min(left, x);
        right = Math.max(right, x);
      }
      const end = Math.min(scene.width, Math.ceil(right - 0.5));
      for (let column = Math.max(0, Math.ceil(left - 0.5)); column < end; column++) {
        const at = row * scene.width + column, x = column + 0.5;
        const value = nearness[0] + nearness[1] * x + nearness[2] * y;
        if (value <= depth[at]) continue;
        depth[at] = value;
        tone[at] = shade[0] + shade[1] * x + shade[2] * y;
      }
    }
  }
  function blend(pixels, at, colour, tone, opacity) {
    for (let channel = 0; channel < 3; channel++) {
      const value = Math.min(255, colour[channel] * tone);
      pixels[4 * at + channel] += opacity * (value - pixels[4 * at + channel]);
    }
  }
  function drawLines(layer, scene, pixels, depth) {
    const lines = linesOf(layer.mesh, scene.near);
    for (let at = 0; at < lines.length; at += 6) {
      const [start, end] = [seen(lines, at, scene), seen(lines, at + 3, scene)];
      const steps = Math.max(1, Math.ceil(Math.max(Math.abs(end[0] - start[0]), Math.abs(end[1] - start[1]))));
      for (let step = 0; step <= steps; step++) {
        const [x, y, near] = start.map((value, axis) => value + ((end[axis] - value) * step) / steps);
        const column = Math.floor(x), row = Math.floor(y), pixel = row * scene.width + column;
        if (column < 0 || row < 0 || column >= scene.width || row >= scene.height) continue;
        const nearness = near + scene.linePull + 1 / scene.scale;
        if (nearness >= depth[pixel]) blend(pixels, pixel, layer.lineColour, 1, layer.lineOpacity);
      }
    }
  }
  function drawLayer(layer, scene, pixels, nearest) {
    const { points, normals } = layer.mesh, tone = new Float32Array(nearest.length);
    const depth = new Float32Array(nearest.length).fill(-Infinity);
    for (let at = 0; at < points.length; at += 9) {
      const corners = [0, 3, 6].map((corner) => seen(points, at + corner, scene));
      fill(corners, [0, 3, 6].map((corner) => toneOf(normals, at + corner, scene)), depth, tone, scene);
    }
    for (let at = 0; at < depth.length; at++) {
      if (depth[at] - layer.push < nearest[at] || depth[at] === -Infinity) continue;
      nearest[at] = depth[at] - layer.push;
      blend(pixels, at, layer.colour, tone[at], layer.opacity);
    }
    drawLines(layer, scene, pixels, nearest);
  }
  return {
    lost: () => false,
    paint(scene) {
      canvas.width = scene.width;
      canvas.height = scene.height;
      const image = context.createImageData(scene.width, scene.height);
      const [red, green, blue] = scene.paper;
      new Uint32Array(image.data.buffer).fill(((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0);
      const nearest = new Float32Array(scene.width * scene.height).fill(-Infinity);
      scene.layers.forEach((layer) => drawLayer(layer, scene, image.data, nearest));
      // Once more, so that where edges coincide the prediction's are on top.
      drawLines(scene.layers[0], scene, image.data, nearest);
      context.putImageData(image, 0, 0);
      return canvas;
    },
  };
}
