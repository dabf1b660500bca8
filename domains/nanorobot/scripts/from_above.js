// Plays the paths that stand in the panels' SVG: a bright trail and a dot for each, and a count for each panel.
(root, data) => {
  const get = (role) => root.querySelector(`[data-role="${role}"]`);
  const panels = [...root.querySelectorAll("[data-role=panel]")].map((panel) => ({
    count: panel.querySelector("[data-role=count]"),
    runs: [...panel.querySelectorAll("g[data-end]")].map((group) => ({
      points: [...group.querySelector("[data-role=path]").points].map((point) => [point.x, point.y]),
      trail: group.querySelector("[data-role=trail]"),
      dot: group.querySelector("circle"),
      end: Number(group.dataset.end),
      found: group.dataset.found === "1",
    })),
  }));
  let time = data.duration, playing = false;

  function placeOf(run, at) {
    const until = Math.min(at, run.end), last = run.points.length - 1;
    const before = Math.min(last, Math.floor(until / data.step)), start = before * data.step;
    if (before === last) return run.points[last];
    const length = Math.min(data.step, run.end - start), part = length > 0 ? Math.min(1, (until - start) / length) : 1;
    return run.points[before].map((value, axis) => value + part * (run.points[before + 1][axis] - value));
  }
  function draw() {
    for (const panel of panels) {
      let arrived = 0;
      for (const run of panel.runs) {
        const until = Math.min(time, run.end), from = Math.max(0, until - data.trail), head = placeOf(run, time);
        const between = run.points.filter((_, at) => at * data.step > from && at * data.step < until);
        const line = [placeOf(run, from), ...between, head];
        run.trail.setAttribute("points", line.map((point) => point.map((v) => v.toFixed(2)).join()).join(" "));
        run.dot.setAttribute("cx", head[0]);
        run.dot.setAttribute("cy", head[1]);
        if (run.found && time >= run.end) arrived++;
      }
      panel.count.textContent = `${arrived} of ${panel.runs.length} arrived`;
    }
    get("clock").textContent = `${time.toFixed(data.duration < 10 ? 2 : 0)} / ${data.duration} s`;
  }
  function show(at) {
    time = at;
    get("time").value = (1000 * time) / data.duration;
    draw();
  }
  function play() {
    playing = !playing;
    get("play").textContent = playing ? "Pause" : "Play";
    if (!playing) return;
    if (time >= data.duration) show(0);
    let last = performance.now();
    const next = (now) => {
      if (!playing) return;
      show(Math.min(data.duration, time + ((now - last) / 1000 / data.seconds) * data.duration));
      last = now;
      if (time >= data.duration) play();
      else requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }
  get("play").addEventListener("click", play);
  get("time").addEventListener("input", () => {
    time = (get("time").value / 1000) * data.duration;
    draw();
  });
  draw();
}
