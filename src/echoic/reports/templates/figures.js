// From the data of the page to plotly's traces and layouts. Nothing here touches the page.

const ZERO_AT = 0.5; // where lag 0 stands on the logarithmic axis
const DASHES = { measured: "solid", predicted: "dash", bound: "dot", reference: "solid" };
const WIDTHS = { measured: 2.5, predicted: 1.8, bound: 1.8, reference: 1 };

// JSON has no infinities: they come as strings. What cannot be drawn is a gap.
function drawable(values, logarithmic) {
  return values.map((text) => {
    const value = Number(text);
    if (Number.isNaN(value)) return null;
    if (logarithmic) return Math.min(Math.max(value, 1e-9), 1e15);
    return Number.isFinite(value) ? value : null;
  });
}

// Names are text, plotly's labels are a kind of HTML.
function escaped(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function shortened(text, most) {
  const letters = Array.from(text);
  return letters.length <= most ? text : letters.slice(0, most - 1).join("").trimEnd() + "…";
}

// Names that would look alike when cut keep their ends as well.
function shortenedApart(texts, most) {
  const short = texts.map((text) => shortened(text, most)), half = Math.floor(most / 2);
  return texts.map((text, i) => {
    const letters = Array.from(text);
    if (letters.length <= most || short.filter((other) => other === short[i]).length < 2) return short[i];
    return letters.slice(0, most - 1 - half).join("").trimEnd() + "…" + letters.slice(-half).join("").trimStart();
  });
}

function frame(view, panel) {
  const margin = panel.margin || { l: view.small ? 56 : 64, r: 18, t: 26, b: 44 };
  return {
    width: view.width, height: view.height, margin, plot: {
      left: margin.l, top: margin.t,
      width: view.width - margin.l - margin.r, height: view.height - margin.t - margin.b },
  };
}

function axis(view, more) {
  return Object.assign({
    showgrid: false, zeroline: false, showline: true, linecolor: view.ink, linewidth: 1,
    ticks: "outside", ticklen: 4, tickcolor: view.ink, fixedrange: view.touch,
    title: { font: { size: view.font } }, automargin: false,
  }, more);
}

function layout(view, box, xaxis, yaxis) {
  return {
    width: box.width, height: box.height, margin: box.margin, autosize: false,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: view.family, size: view.font, color: view.ink },
    showlegend: false, hovermode: "closest", hoverdistance: 16,
    dragmode: view.touch ? false : "zoom", xaxis, yaxis, shapes: [], annotations: [],
  };
}

function lagAxis(view, maxLag, range) {
  const decades = [];
  for (let lag = 1; lag <= maxLag; lag *= 10) decades.push(lag);
  return axis(view, {
    type: "log", range: range || [Math.log10(ZERO_AT), Math.log10(Math.max(maxLag, 2))],
    tickvals: [ZERO_AT, ...decades], ticktext: ["0", ...decades.map(String)],
    title: { text: "lag (steps back in time)", font: { size: view.font }, standoff: 6 },
  });
}

// Plain numbers near 1, powers of ten far from it; within a decade plotly finds better ticks.
function decadeTicks([low, high]) {
  if (high - low < 1.5) return { nticks: 6 };
  const step = Math.ceil((high - low) / 8), powers = [];
  for (let power = Math.ceil(low / step - 1e-9) * step; power <= high + 1e-9; power += step) powers.push(power);
  const text = (power) => Math.abs(power) <= 4 ? String(Number(`1e${power}`)) : `10<sup>${String(power).replace("-", "−")}</sup>`;
  return { tickvals: powers.map((power) => 10 ** power), ticktext: powers.map(text) };
}

// The pixel of a point of the data, in the figure.
function toPixels(box, xaxis, yaxis) {
  const part = (value, one) => {
    const along = one.type === "log" ? Math.log10(value) : value;
    return (along - one.range[0]) / (one.range[1] - one.range[0]);
  };
  return (x, y) => [
    box.plot.left + part(x, xaxis) * box.plot.width,
    box.plot.top + (1 - part(y, yaxis)) * box.plot.height];
}

function memoryFigure(data, panel, quantity, view, ranges) {
  const about = data.quantities[quantity];
  const logarithmic = about.logarithmic;
  const box = frame(view, {});
  const [low, high] = about.range;
  const y = ranges && ranges.y || (logarithmic ? [Math.log10(low), Math.log10(high)] : [low, high]);
  const xaxis = lagAxis(view, data.max_lag, ranges && ranges.x);
  const yaxis = axis(view, {
    type: logarithmic ? "log" : "linear", range: y,
    title: { text: escaped(about.axis), font: { size: view.font }, standoff: 4 },
    ...(logarithmic ? decadeTicks(y) : { nticks: 6 }),
  });
  const made = layout(view, box, xaxis, yaxis);
  const drawn = memoryTraces(data, quantity, view, Math.min(low, logarithmic ? 10 ** y[0] : y[0]));
  made.shapes.push(
    line({ x0: data.horizon, x1: data.horizon, yref: "paper", y0: 0, y1: 1 }, view.ink, 1.2));
  made.annotations.push({
    x: Math.log10(data.horizon), y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
    text: `${data.horizon} steps`, xanchor: data.horizon > data.max_lag / 3 ? "right" : "center" });
  if (about.threshold !== null) {
    made.shapes.push(line({ xref: "paper", x0: 0, x1: 1, y0: about.threshold, y1: about.threshold }, view.faint, 0.8));
    made.annotations.push({
      xref: "paper", x: 0, xanchor: "left", y: logarithmic ? Math.log10(about.threshold) : about.threshold,
      yanchor: "bottom", showarrow: false, text: String(about.threshold), xshift: 3,
      font: { color: view.faint } });
  }
  nameCurves(data, made, box, drawn, view, about, logarithmic);
  if (about.threshold !== null) drawn.kinds.add("threshold");
  return { traces: drawn.traces, layout: made, rows: drawn.rows, kinds: drawn.kinds };
}

function line(place, color, width) {
  return { type: "line", layer: "below", line: { color, width }, ...place };
}

function memoryTraces(data, quantity, view, bottom) {
  const about = data.quantities[quantity], together = about.members.length > 1, log = about.logarithmic;
  const back = [], shades = [], front = [], dots = [], rows = [], floors = [], named = [], kinds = new Set();
  data.networks.forEach((network, i) => {
    const slot = view.coloured.indexOf(i);
    network.curves.forEach((curve, c) => {
      const member = about.members.indexOf(curve.quantity), beside = curve.quantity === about.beside;
      if (member < 0 && !beside) return;
      const lags = data.lags[curve.lags];
      rows.push({ network: network.name, curve, lags });
      if (slot < 0 && !curve.main) return;
      const colour = slot < 0 ? view.grey : view.colours[together ? Math.max(member, 0) : slot];
      const x = lags.map((lag) => lag === 0 ? ZERO_AT : lag);
      const y = drawable(curve.value, log);
      (slot < 0 ? back : front).push({
        type: "scatter", mode: "lines", x, y, uid: `${curve.quantity}-${c}-${i}`,
        line: { color: colour, width: slot < 0 ? 1.2 : WIDTHS[curve.origin], dash: DASHES[curve.origin] },
        hoverinfo: "none", meta: { network: i, curve, lags }, opacity: 1,
      });
      if (curve.main || (together && beside)) {
        const name = together ? data.labels[curve.quantity] : network.name;
        named.push(slot < 0 ? { x, y } : { name, colour, x, y });
      } else if (slot >= 0) named.push({ x, y, heavy: true });
      if (slot < 0) return;
      kinds.add(beside ? curve.quantity : curve.origin);
      if (!curve.main) return;
      if (curve.error) shades.push(band(x, curve, colour, log));
      // The floor is the coherent reach's alone: among all gains it would hide what can be seen.
      if (curve.floor && !together) { floors.push({ x, floor: drawable(curve.floor, log) }); kinds.add("floor"); }
      dots.push(...endDots(about.ends, i, curve, lags, y, colour));
    });
  });
  if (dots.length) kinds.add("end");
  if (floors.length) shades.unshift(floorShade(floors, view, bottom));
  return { traces: [...back, ...shades, ...front, ...dots], rows, named, kinds };
}

// Where a curve falls below its own threshold, if that is not the line that is drawn.
function endDots(ends, network, curve, lags, y, colour) {
  const found = ends.filter((one) => one[0] === network && one[1] === curve.quantity);
  return found.map((one) => [one[2], lags.indexOf(one[2])]).filter(([, k]) => k >= 0).map(([lag, k]) => ({
    type: "scatter", mode: "markers", x: [lag === 0 ? ZERO_AT : lag], y: [y[k]],
    uid: `end-${curve.quantity}-${network}`, hoverinfo: "skip", marker: { color: colour, size: 7 },
  }));
}

// Two standard errors to both sides. An unknown error leaves a hole in the band.
function band(x, curve, colour, logarithmic) {
  const bound = (sign) => drawable(curve.value.map((value, k) => Number(value) + sign * 2 * Number(curve.error[k])), logarithmic);
  const upper = bound(1), lower = bound(-1);
  const known = upper.map((value, k) => value !== null && lower[k] !== null ? k : -1).filter((k) => k >= 0);
  const behind = known.slice().reverse();
  return {
    type: "scatter", mode: "lines", fill: "toself", fillcolor: `${colour}2e`, line: { width: 0 },
    x: [...known, ...behind].map((k) => x[k]),
    y: [...known.map((k) => upper[k]), ...behind.map((k) => lower[k])], hoverinfo: "skip",
  };
}

// What no coloured curve could show: below the lowest of their floors.
function floorShade(floors, view, bottom) {
  const x = floors[0].x;
  const lowest = x.map((lag, k) => Math.min(...floors.map((one) => {
    const at = one.x === x ? k : one.x.findIndex((other) => other >= lag);
    return at < 0 || one.floor[at] === null ? bottom : one.floor[at];
  })));
  const base = bottom > 0 ? bottom / 10 : 0;
  return {
    type: "scatter", mode: "lines", fill: "toself", fillcolor: view.shade, line: { width: 0 },
    x: [...x, x[x.length - 1], x[0]], y: [...lowest.map((v) => Math.max(v, base)), base, base], hoverinfo: "skip",
  };
}

function nameCurves(data, made, box, drawn, view, about, logarithmic) {
  const pixel = toPixels(box, made.xaxis, made.yaxis);
  const inside = ([x, y]) => x >= box.plot.left && x <= box.plot.left + box.plot.width
    && y >= box.plot.top && y <= box.plot.top + box.plot.height;
  const lowest = (one) => logarithmic ? 10 ** made.yaxis.range[0]
    : about.threshold !== null ? about.threshold : 0.05 * (one.y.find((value) => value !== null) || 0);
  const paths = drawn.named.map((one) => along(one, pixel));
  const ink = [];
  paths.forEach((path, i) => {
    const weight = drawn.named[i].name ? 1 : drawn.named[i].heavy ? 0.6 : 0.3;
    for (const point of path) if (inside(point)) ink.push([point[0], point[1], weight]);
  });
  const wall = pixel(data.horizon, 1)[0];
  for (let y = box.plot.top; y < box.plot.top + box.plot.height; y += 4) ink.push([wall, y, 0.5]);
  const limit = about.threshold === null ? null : pixel(1, about.threshold)[1];
  const taken = [];
  if (limit !== null) {
    for (let x = box.plot.left; x < box.plot.left + box.plot.width; x += 5) ink.push([x, limit, 0.5]);
    taken.push({ left: box.plot.left, top: limit - view.font * 1.4, width: view.font * 2.6, height: view.font * 1.4 });
  }
  const tails = [], sizes = [], names = [];
  drawn.named.forEach((one, i) => {
    if (!one.name) return;
    const tail = tailOf(paths[i], inside, pixel(1, lowest(one))[1]);
    if (!tail.length) return;
    tails.push(tail); names.push({ text: one.name, colour: one.colour });
  });
  shortenedApart(names.map((one) => one.text), view.small ? 24 : 32).forEach((text, i) => {
    names[i].text = text;
    sizes.push([view.measure(text) + 4, view.font * 1.35]);
  });
  const area = { left: box.plot.left + 3, top: box.plot.top, width: box.plot.width - 3, height: box.plot.height - 2 };
  placeLabels(tails, sizes, area, ink, taken).forEach((label, i) => annotate(made, box, label, names[i], view));
}

// A curve as points close together on the screen, steep parts included.
function along(one, pixel) {
  const points = [];
  let before = null;
  one.x.forEach((x, k) => {
    if (one.y[k] === null) { before = null; return; }
    const here = pixel(x, one.y[k]);
    if (before) {
      const steps = Math.min(60, Math.floor(Math.hypot(here[0] - before[0], here[1] - before[1]) / 6));
      for (let s = 1; s < steps; s++) {
        points.push([before[0] + (here[0] - before[0]) * s / steps, before[1] + (here[1] - before[1]) * s / steps]);
      }
    }
    const last = points[points.length - 1];
    if (!last || Math.hypot(here[0] - last[0], here[1] - last[1]) > 4) points.push(here);
    before = here;
  });
  return points;
}

// The last part of a curve before it leaves the picture, or falls below its threshold.
function tailOf(path, inside, lowest) {
  let last = -1;
  path.forEach((point, k) => { if (inside(point) && point[1] <= lowest + 0.5) last = k; });
  if (last < 0) return path.length ? [path[0]] : [];
  const first = Math.floor(0.55 * last), step = Math.max(1, Math.floor((last - first) / 30));
  const tail = [];
  for (let k = last; k >= first; k -= step) if (inside(path[k])) tail.unshift(path[k]);
  return tail;
}

function annotate(made, box, label, name, view) {
  const across = (x) => (x - box.plot.left) / box.plot.width;
  const up = (y) => 1 - (y - box.plot.top) / box.plot.height;
  const ink = view.legible(name.colour);
  made.annotations.push({
    xref: "paper", yref: "paper", x: across(label.left), y: up(label.top + label.height / 2),
    xanchor: "left", yanchor: "middle", showarrow: false, borderpad: 0, align: "left",
    text: escaped(name.text), font: { color: ink } });
  if (label.leader) {
    const [from, to] = label.leader;
    made.shapes.push({
      type: "line", xref: "paper", yref: "paper", x0: across(from[0]), x1: across(to[0]),
      y0: up(from[1]), y1: up(to[1]), line: { color: name.colour, width: 0.8 } });
  }
}

// Spectra: numbered values, largest first, drawn over their share of the whole.
function rankFigure(data, view, parts, title) {
  const box = frame(view, { margin: { l: 58, r: 18, t: 10, b: 42 } });
  const traces = [], rows = [];
  let low = 0, high = 0;
  data.networks.forEach((network, i) => {
    const slot = view.coloured.indexOf(i);
    for (const [key, origin] of parts) {
      const series = network[key];
      if (!series) continue;
      rows.push({ network: network.name, origin, series });
      if (slot < 0 && origin !== "measured") continue;
      const all = Math.max(1, (key === "singular_values" ? 0 : network.num_exponents) || series.count);
      const y = drawable(series.value, false);
      if (slot >= 0) for (const value of y) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
      traces.push({
        type: "scatter", mode: y.filter((v) => v !== null).length > 1 ? "lines" : "markers",
        x: series.index.map((k) => (k + 1) / all), y, uid: `${key}-${i}`, hoverinfo: "none",
        line: { color: slot < 0 ? view.grey : view.colours[slot], width: slot < 0 ? 1 : WIDTHS[origin] * 0.8, dash: DASHES[origin] },
        marker: { color: slot < 0 ? view.grey : view.colours[slot], size: 6 },
        meta: { network: i, origin, rank: series.index, values: series.value, unit: title },
      });
    }
  });
  traces.sort((a, b) => view.coloured.includes(a.meta.network) - view.coloured.includes(b.meta.network));
  // What matters happens near 0; one rugged network must not flatten all others.
  low = Math.max(low, -12); high = Math.min(high, 6);
  const room = Math.max(0.06 * (high - low), 0.05);
  const made = layout(view, box,
    axis(view, { range: [0, 1.01], nticks: 5, title: { text: "share of all directions", font: { size: view.font }, standoff: 6 } }),
    axis(view, { range: [low - room, high + room], nticks: 6, title: { text: title, font: { size: view.font }, standoff: 4 } }));
  made.shapes.push(line({ xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0 }, view.faint, 0.8));
  return { traces, layout: made, rows };
}

function autocorrelationFigure(data, view) {
  const series = data.autocorrelation;
  const box = frame(view, { margin: { l: 58, r: 18, t: 26, b: 42 } });
  const x = series.index.map((lag) => lag === 0 ? ZERO_AT : lag), y = drawable(series.value, false);
  const most = Math.max(series.count - 1, 2);
  const made = layout(view, box, lagAxis(view, most),
    axis(view, { range: [Math.min(-0.1, ...y) - 0.05, 1.05], nticks: 6, title: { text: "autocorrelation", font: { size: view.font }, standoff: 4 } }));
  made.shapes.push(line({ xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0 }, view.faint, 0.8));
  if (data.horizon <= most) {
    made.shapes.push(line({ x0: data.horizon, x1: data.horizon, yref: "paper", y0: 0, y1: 1 }, view.ink, 1.2));
    made.annotations.push({ x: Math.log10(data.horizon), y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
      text: `${data.horizon} steps`, xanchor: data.horizon > most / 3 ? "right" : "center" });
  }
  const trace = { type: "scatter", mode: "lines", x, y, hoverinfo: "none", line: { color: view.ink, width: 1.5 },
    meta: { lags: series.index, values: series.value } };
  return { traces: [trace], layout: made, rows: [{ series }] };
}
