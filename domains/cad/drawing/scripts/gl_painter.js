// Paints scenes with WebGL; null where there is none. One context serves all viewers of a page, since browsers keep
// only about sixteen; a viewer copies the picture to its own canvas.
function makeGlPainter() {
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl", { antialias: true, alpha: false });
  if (!gl) return null;
  const program = linked(gl), buffers = new WeakMap();
  if (!program) return null;
  const place = (name) => gl.getUniformLocation(program, name);
  const position = gl.getAttribLocation(program, "position"), normal = gl.getAttribLocation(program, "normal");
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);

  function buffered(data) {
    if (!buffers.has(data)) {
      buffers.set(data, gl.createBuffer());
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.get(data));
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.get(data));
  }
  function attribute(at, data) {
    buffered(data);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 0, 0);
  }
  function drawFaces(layer) {
    attribute(position, layer.mesh.points);
    attribute(normal, layer.mesh.normals);
    gl.uniform1f(place("lit"), 1);
    gl.uniform1f(place("push"), layer.push);
    gl.uniform4f(place("colour"), ...layer.colour.map((part) => part / 255), layer.opacity);
    gl.drawArrays(gl.TRIANGLES, 0, layer.mesh.points.length / 3);
  }
  function drawLines(layer, scene) {
    const lines = linesOf(layer.mesh, scene.near);
    attribute(position, lines);
    gl.disableVertexAttribArray(normal);
    gl.uniform1f(place("lit"), 0);
    gl.uniform1f(place("push"), -scene.linePull);
    gl.uniform4f(place("colour"), ...layer.lineColour.map((part) => part / 255), layer.lineOpacity);
    gl.enable(gl.BLEND);
    gl.drawArrays(gl.LINES, 0, lines.length / 3);
    gl.disable(gl.BLEND);
    gl.deleteBuffer(buffers.get(lines));
  }
  // Depths first: of a clear layer only the nearest surface is then painted.
  function drawLayer(layer, scene) {
    gl.colorMask(false, false, false, false);
    drawFaces(layer);
    gl.colorMask(true, true, true, true);
    gl.enable(gl.BLEND);
    drawFaces(layer);
    gl.disable(gl.BLEND);
    drawLines(layer, scene);
  }
  return {
    lost: () => gl.isContextLost(),
    paint(scene) {
      if (canvas.width !== scene.width || canvas.height !== scene.height) {
        canvas.width = scene.width;
        canvas.height = scene.height;
      }
      gl.viewport(0, 0, scene.width, scene.height);
      gl.clearColor(...scene.paper.map((part) => part / 255), 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.uniformMatrix3fv(place("turn"), false, [0, 1, 2].flatMap((axis) =>
        [scene.right[axis], scene.up[axis], scene.near[axis]]));
      gl.uniform3f(place("centre"), ...scene.centre);
      gl.uniform3f(place("scale"), 2 * scene.scale / scene.width, 2 * scene.scale / scene.height, 0.5 / scene.reach);
      gl.uniform3f(place("light"), ...scene.light.towards);
      gl.uniform3f(place("lamps"), scene.light.ambient, scene.light.key, scene.light.head);
      scene.layers.forEach((layer) => drawLayer(layer, scene));
      // Once more, so that where edges coincide the prediction's are on top.
      drawLines(scene.layers[0], scene);
      return canvas;
    },
  };
}
function linked(gl) {
  const vertex = `
    attribute vec3 position; attribute vec3 normal; uniform mat3 turn; uniform vec3 centre, scale;
    uniform float push; varying vec3 facing;
    void main() {
      vec3 seen = turn * (position - centre);
      facing = turn * normal;
      gl_Position = vec4(seen.xy * scale.xy, (push - seen.z) * scale.z, 1.0);
    }`;
  const fragment = `
    precision mediump float; uniform vec4 colour; uniform vec3 light, lamps; uniform float lit; varying vec3 facing;
    void main() {
      float tone = 1.0;
      if (lit > 0.5) {
        vec3 n = normalize(facing);
        if (n.z < 0.0) n = -n;
        tone = lamps.x + lamps.y * max(0.0, dot(n, light)) + lamps.z * n.z;
      }
      gl_FragColor = vec4(colour.rgb * tone, colour.a);
    }`;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return gl.getProgramParameter(program, gl.LINK_STATUS) ? program : null;
}
