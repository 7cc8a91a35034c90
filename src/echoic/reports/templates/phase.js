// The phase diagram: the predicted horizon over two hyperparameters, and where a network stands.

function phaseFigure(phase, view) {
  const bar = view.small ? 52 : 66;
  const box = frame(view, { margin: { l: view.small ? 56 : 64, r: bar, t: 14, b: 46 } });
  const along = (one, value) => one.logarithmic ? Math.log10(value) : value;
  const scale = (one, standoff) => {
    const values = one.values.map(Number), ends = [values[0], values[values.length - 1]].map((v) => along(one, v));
    return axis(view, {
      type: one.logarithmic ? "log" : "linear", range: ends, fixedrange: true,
      title: { text: escaped(one.label), font: { size: view.font }, standoff },
      ...(one.logarithmic ? decadeTicks(ends) : { nticks: 6 }),
    });
  };
  const made = layout(view, box, scale(phase.x, 6), scale(phase.y, 4));
  made.dragmode = false;
  // What the fill leaves empty, the rugged part, shows the ground.
  made.plot_bgcolor = "rgba(128,128,128,.4)";
  const x = phase.x.values.map(Number), y = phase.y.values.map(Number);
  const z = phase.height.map((row) => row.map((v) => v === "NaN" ? null : Number(v)));
  const meta = { phase };
  const traces = [phaseFill(phase, view, x, y, z, meta)];
  if (phase.label) traces.push({
    type: "contour", x, y, z, meta, showscale: false, hoverinfo: "skip", connectgaps: false,
    contours: { coloring: "none", start: phase.line, end: phase.line, size: 1, showlabels: false },
    line: { color: view.ink, width: 3.5, smoothing: 0 },
  });
  const at = (place) => [along(phase.x, Number(place[0])), along(phase.y, Number(place[1]))];
  if (phase.label) {
    const [u, v] = at(phase.label);
    made.annotations.push({ x: u, y: v, showarrow: false, text: `<b>${phase.wanted} steps</b>`, bgcolor: view.paper, borderpad: 2, opacity: 0.9 });
  }
  phaseMarks(phase, view, made, traces, at);
  return { traces, layout: made, rows: [phase] };
}

function phaseFill(phase, view, x, y, z, meta) {
  const levels = phase.levels.map(Number), top = levels[levels.length - 1];
  // Steps of colour at the levels, which are not evenly spaced: each interval gets its own.
  const colours = levels.slice(1).map((_, i) => blended(view.fill, levels.length > 2 ? i / (levels.length - 2) : 0.5));
  const colorscale = [];
  colours.forEach((colour, i) => colorscale.push([levels[i] / top, colour], [Math.min(levels[i + 1] / top, 1), colour]));
  return {
    type: "heatmap", x, y, z, meta, zsmooth: "best", zmin: 0, zmax: top, colorscale, hoverinfo: "none", connectgaps: false,
    colorbar: {
      title: { text: "predicted horizon (steps)", side: "right", font: { size: view.font } },
      thickness: 10, len: 1, lenmode: "fraction", xpad: 6, ypad: 0, outlinewidth: 0, y: 0.5, ticks: "",
      tickvals: phase.ticks.map((one) => one[0]), ticktext: phase.ticks.map((one) => one[1]),
      tickfont: { size: view.font - 1 },
    },
  };
}

// Dots for network and prescription, the arrow between them, and their names.
function phaseMarks(phase, view, made, traces, at) {
  const here = phase.here && at(phase.here), there = phase.there && at(phase.there);
  if (here && there) made.annotations.push({
    x: there[0], y: there[1], ax: here[0], ay: here[1], xref: "x", yref: "y", axref: "x", ayref: "y",
    text: "", showarrow: true, arrowhead: 2, arrowsize: 1.1, arrowwidth: 1.8, arrowcolor: view.ink, standoff: 6, startstandoff: 6 });
  const ends = (one) => [made[one].range[0], made[one].range[1] - made[one].range[0]];
  const share = (value, [low, span]) => (value - low) / span;
  for (const [place, raw, other, name, face] of [
    [here, phase.here, there, "you are here", view.ink], [there, phase.there, here, phase.name, view.paper]]) {
    if (!place) continue;
    traces.push({
      type: "scatter", mode: "markers", x: [Number(raw[0])], y: [Number(raw[1])], hoverinfo: "skip", cliponaxis: false,
      marker: { size: 10, color: face, line: { color: view.ink, width: 2 } } });
    const across = share(place[0], ends("xaxis")), high = share(place[1], ends("yaxis"));
    // Above the upper mark, below the lower one: the arrow runs between them.
    const up = high < 0.08 || ((!other || place[1] >= other[1]) && high <= 0.9);
    made.annotations.push({
      x: place[0], y: place[1], showarrow: false, text: escaped(name), xanchor: across > 0.5 ? "right" : "left",
      yanchor: up ? "bottom" : "top", xshift: across > 0.5 ? 6 : -6, yshift: up ? 9 : -9,
      bgcolor: view.paper, borderpad: 2, opacity: 0.9 });
  }
}

// A colour between two or three given ones.
function blended(colours, share) {
  const place = share * (colours.length - 1), i = Math.min(Math.floor(place), colours.length - 2), part = place - i;
  const one = (hex, k) => parseInt(hex.slice(2 * k + 1, 2 * k + 3), 16);
  return `rgb(${[0, 1, 2].map((k) => Math.round((1 - part) * one(colours[i], k) + part * one(colours[i + 1], k))).join(",")})`;
}
