// Learning curves: the loss, or the accuracy, over the updates. Few seeds each in a colour, of many
// the median in the range that they cover.

function learningFigure(data, quantity, view) {
  const about = data.learning[quantity], log = about.logarithmic;
  const box = frame(view, {});
  const [low, high] = about.range.map(Number);
  const range = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const xaxis = axis(view, {
    type: "linear", range: [0, about.last], nticks: view.small ? 4 : 6, tickformat: "~s",
    title: { text: "updates", font: { size: view.font }, standoff: 6 } });
  const yaxis = axis(view, {
    type: log ? "log" : "linear", range,
    title: { text: escaped(about.axis), font: { size: view.font }, standoff: 4 },
    ...(log ? decadeTicks(range) : { nticks: 6 }) });
  const made = layout(view, box, xaxis, yaxis);
  const drawn = about.spread.validation ? manySeeds(about, view) : fewSeeds(about, view);
  if (about.chance) {
    const [value, text] = about.chance;
    made.shapes.push(line({ xref: "paper", x0: 0, x1: 1, y0: value, y1: value }, view.faint, 0.8));
    made.annotations.push({
      xref: "paper", x: 1, xanchor: "right", y: log ? Math.log10(value) : value, yanchor: "bottom",
      showarrow: false, text: escaped(text), font: { color: view.faint } });
  }
  nameLearning(made, box, drawn.named, view, about);
  return { traces: drawn.traces, layout: made, rows: about.lines, kinds: new Set() };
}

function fewSeeds(about, view) {
  const alone = new Set(about.lines.map((one) => one.member)).size === 1;
  const traces = [], named = [];
  // Validation last: it is drawn over the training loss.
  for (const one of about.lines.slice().sort((a, b) => (a.kind === "validation") - (b.kind === "validation"))) {
    const colour = view.colours[one.member % view.colours.length], main = one.kind === "validation";
    const y = drawable(one.value, about.logarithmic);
    traces.push({
      type: "scatter", mode: y.length > 1 ? "lines" : "markers", x: one.steps, y, hoverinfo: "none",
      line: { color: colour, width: main ? 2 : 1.2, dash: main ? "solid" : "dot" }, marker: { color: colour, size: 6 },
      meta: { learning: one } });
    if (main || alone) named.push({ name: alone ? one.kind : one.name, colour, x: one.steps, y });
    else named.push({ x: one.steps, y });
  }
  return { traces, named };
}

function manySeeds(about, view) {
  const traces = [], named = [], colour = view.colours[0];
  for (const one of about.lines) if (one.kind === "validation") {
    const y = drawable(one.value, about.logarithmic);
    traces.push({
      type: "scatter", mode: "lines", x: one.steps, y, hoverinfo: "none",
      line: { color: view.grey, width: 0.8 }, meta: { learning: one } });
  }
  const { validation, training } = about.spread;
  const edge = (values) => drawable(values, about.logarithmic);
  traces.unshift({
    type: "scatter", mode: "lines", fill: "toself", fillcolor: `${colour}2e`, line: { width: 0 }, hoverinfo: "skip",
    x: [...validation.steps, ...validation.steps.slice().reverse()],
    y: [...edge(validation.high), ...edge(validation.low).reverse()] });
  if (training) {
    const y = edge(training.middle);
    traces.push({
      type: "scatter", mode: "lines", x: training.steps, y, hoverinfo: "skip",
      line: { color: colour, width: 1.4, dash: "dot" } });
    named.push({ name: "training", colour, x: training.steps, y });
  }
  const y = edge(validation.middle);
  traces.push({
    type: "scatter", mode: "lines", x: validation.steps, y, hoverinfo: "skip", line: { color: colour, width: 2.5 } });
  named.push({ name: "validation", colour, x: validation.steps, y });
  return { traces, named };
}

// Names where there is room, near the ends of the curves.
function nameLearning(made, box, curves, view, about) {
  const pixel = toPixels(box, made.xaxis, made.yaxis);
  const inside = ([x, y]) => x >= box.plot.left && x <= box.plot.left + box.plot.width
    && y >= box.plot.top && y <= box.plot.top + box.plot.height;
  const paths = curves.map((one) => along(one, pixel)), ink = [], tails = [], sizes = [], names = [];
  paths.forEach((path, i) => {
    for (const point of path) if (inside(point)) ink.push([point[0], point[1], curves[i].name ? 1 : 0.5]);
  });
  curves.forEach((one, i) => {
    const tail = one.name ? tailOf(paths[i], inside, box.plot.top + box.plot.height) : [];
    if (!tail.length) return;
    const text = shortened(one.name, view.small ? 20 : 28);
    tails.push(tail); names.push({ text, colour: one.colour });
    sizes.push([view.measure(text) + 4, view.font * 1.35]);
  });
  const taken = [];
  if (about.chance) {
    const [, top] = pixel(0, about.chance[0]), width = view.measure(about.chance[1]) + 6;
    taken.push({ left: box.plot.left + box.plot.width - width, top: top - view.font * 1.5, width, height: view.font * 1.5 });
    for (let x = box.plot.left; x < box.plot.left + box.plot.width; x += 5) ink.push([x, top, 0.5]);
  }
  const area = { left: box.plot.left + 3, top: box.plot.top, width: box.plot.width - 3, height: box.plot.height - 2 };
  placeLabels(tails, sizes, area, ink, taken).forEach((label, i) => annotate(made, box, label, names[i], view));
}
