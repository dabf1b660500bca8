// Meshes as the painters need them: corner normals for shading, and the edges where the surface breaks.
const CREASE = Math.cos(Math.PI / 6), MOST_MATES = 40;

// Vertices (float32) and triangles (int32) come as base64, little-endian as every browser's machine is.
function readMesh({ vertices, triangles, labels }) {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const positions = new Float32Array(bytes(vertices)), corners = new Int32Array(bytes(triangles));
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  positions.forEach((value, at) => {
    low[at % 3] = Math.min(low[at % 3], value);
    high[at % 3] = Math.max(high[at % 3], value);
  });
  const facets = facetNormals(positions, corners);
  return {
    labels, low, high, points: cornerPoints(positions, corners), normals: cornerNormals(corners, facets),
    ...findEdges(positions, corners, facets),
  };
}
function facetNormals(positions, corners) {
  const normals = new Float32Array(corners.length);
  for (let at = 0; at < corners.length; at += 3) {
    const [a, b, c] = [0, 1, 2].map((corner) => 3 * corners[at + corner]);
    const u = [0, 1, 2].map((axis) => positions[b + axis] - positions[a + axis]);
    const v = [0, 1, 2].map((axis) => positions[c + axis] - positions[a + axis]);
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const length = Math.hypot(...normal) || 1;
    normal.forEach((part, axis) => (normals[at + axis] = part / length));
  }
  return normals;
}
function cornerPoints(positions, corners) {
  const points = new Float32Array(3 * corners.length);
  corners.forEach((vertex, at) => points.set(positions.subarray(3 * vertex, 3 * vertex + 3), 3 * at));
  return points;
}
const cosine = (normals, a, b) =>
  normals[a] * normals[b] + normals[a + 1] * normals[b + 1] + normals[a + 2] * normals[b + 2];

// The mean over the facets at the vertex that turn by less than 30 degrees from the corner's own.
function cornerNormals(corners, facets) {
  const around = new Map(), normals = new Float32Array(3 * corners.length);
  corners.forEach((vertex, at) => {
    if (!around.has(vertex)) around.set(vertex, []);
    around.get(vertex).push(at - (at % 3));
  });
  corners.forEach((vertex, at) => {
    const own = at - (at % 3), mates = around.get(vertex), sum = [0, 0, 0];
    for (const mate of mates.length > MOST_MATES ? [own] : mates) {
      if (mate !== own && cosine(facets, own, mate) < CREASE) continue;
      for (let axis = 0; axis < 3; axis++) sum[axis] += facets[mate + axis];
    }
    const length = Math.hypot(...sum) || 1;
    sum.forEach((part, axis) => (normals[3 * at + axis] = part / length));
  });
  return normals;
}

// `creases`: edges that are always drawn, six numbers each. `folds`: edges of the smooth surface, drawn where they are
// its outline, with the normals of their two facets.
function findEdges(positions, corners, facets) {
  const seen = new Map(), creases = [], folds = [];
  for (let at = 0; at < corners.length; at++) {
    const facet = at - (at % 3), a = corners[at], b = corners[facet + ((at + 1) % 3)];
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    if (!seen.has(key)) seen.set(key, { a, b, facets: [] });
    seen.get(key).facets.push(facet);
  }
  for (const { a, b, facets: sides } of seen.values()) {
    const line = [...positions.subarray(3 * a, 3 * a + 3), ...positions.subarray(3 * b, 3 * b + 3)];
    if (sides.length !== 2 || cosine(facets, ...sides) < CREASE) creases.push(...line);
    else if (cosine(facets, ...sides) < 0.99999) {
      folds.push({ line, one: facets.subarray(sides[0], sides[0] + 3), two: facets.subarray(sides[1], sides[1] + 3) });
    }
  }
  return { creases, folds };
}

// The lines to draw when the viewer is in the direction `near`.
function linesOf(mesh, near) {
  const facing = (normal) => normal[0] * near[0] + normal[1] * near[1] + normal[2] * near[2] > 0;
  const lines = [...mesh.creases];
  for (const { line, one, two } of mesh.folds) if (facing(one) !== facing(two)) lines.push(...line);
  return new Float32Array(lines);
}
