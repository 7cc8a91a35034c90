// The page: draws the figures, answers pointer and keyboard, sorts, copies, prints.

(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const state = { coloured: data.coloured.slice(), printing: false, rows: {}, ranges: {}, kinds: {} };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)");
  const tip = document.getElementById("tip");
  const said = document.getElementById("said");
  const pen = document.createElement("canvas").getContext("2d");
  const plots = Array.from(document.querySelectorAll(".plot"));

  function say(text) { said.textContent = ""; said.textContent = text; }

  // --- drawing

  function viewOf(plot) {
    const night = dark.matches && !state.printing;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const three = plot.closest(".three") !== null;
    const width = state.printing ? (three ? 222 : 334) : Math.max(240, plot.clientWidth);
    const palette = night ? data.dark : data.light;
    const font = state.printing ? 9.5 : width < 420 ? 12 : 13;
    const family = getComputedStyle(document.body).fontFamily;
    return {
      width, height: state.printing ? (three ? 170 : 230) : plot.clientHeight, small: width < 420, font, family,
      touch: touch.matches, coloured: state.coloured, colours: palette.curves, grey: palette.grey, fill: palette.fill,
      paper: state.printing ? "#ffffff" : colour("paper"),
      ink: state.printing ? "#000000" : colour("ink"), faint: state.printing ? "#444444" : colour("faint"),
      shade: state.printing ? "rgba(0,0,0,0.09)" : colour("shade"),
      measure: (text) => { pen.font = `${font}px ${family}`; return pen.measureText(text).width; },
      legible: (hex) => mixed(hex, night ? "#ffffff" : "#000000", night ? 0.15 : 0.25),
    };
  }

  // Small type needs more contrast to the paper than a line does.
  function mixed(hex, other, share) {
    const part = (text, k) => parseInt(text.slice(2 * k + 1, 2 * k + 3), 16);
    const parts = [0, 1, 2].map((k) => Math.round((1 - share) * part(hex, k) + share * part(other, k)));
    return `rgb(${parts.join(",")})`;
  }

  function chosen(panel) { return document.getElementById(`choose-${panel}`).value; }

  function isMemory(id) { return id === "gain" || id === "information" || id === "demand"; }

  function learned() { return data.learning.accuracy ? chosen("learning") : "loss"; }

  function figureFor(plot) {
    const id = plot.dataset.figure, view = viewOf(plot);
    if (isMemory(id)) return memoryFigure(data, id, chosen(id), view, state.ranges[id]);
    if (id === "learning") return learningFigure(data, learned(), view);
    if (id === "spectrum") return rankFigure(data, view, [["exponents", "measured"], ["predicted", "predicted"]], "exponent (nats per step)");
    if (id === "singular") return rankFigure(data, view, [["singular_values", "measured"]], "log of singular value");
    if (id === "phase") return phaseFigure(data.phase, view);
    return autocorrelationFigure(data, view);
  }

  function draw(plot) {
    const made = figureFor(plot);
    state.rows[plot.dataset.figure] = made.rows;
    if (made.kinds) { state.kinds[plot.dataset.figure] = made.kinds; showKey(); }
    const first = !plot.classList.contains("js-plotly-plot");
    Plotly.react(plot, made.traces, made.layout, { displayModeBar: false, responsive: false, doubleClick: false, showTips: false });
    if (first) listen(plot);
  }

  // The key below the panels explains what is in them now, nothing else.
  function showKey() {
    const kinds = Object.values(state.kinds);
    document.querySelectorAll("[data-kind]").forEach((one) => {
      one.hidden = !kinds.some((found) => found.has(one.dataset.kind));
    });
  }

  function drawAll() { plots.forEach(draw); }

  // --- pointing at curves

  function listen(plot) {
    plot.on("plotly_hover", (event) => point(event.points[0], event.event));
    plot.on("plotly_click", (event) => point(event.points[0], event.event));
    plot.on("plotly_unhover", unpoint);
    plot.on("plotly_relayout", (change) => zoomed(plot, change));
    plot.on("plotly_doubleclick", () => { delete state.ranges[plot.dataset.figure]; draw(plot); });
  }

  function zoomed(plot, change) {
    const id = plot.dataset.figure;
    if (!isMemory(id)) return;
    const part = (name, old) => `${name}.range[0]` in change ? [change[`${name}.range[0]`], change[`${name}.range[1]`]] : old;
    const x = part("xaxis", plot.layout.xaxis.range), y = part("yaxis", plot.layout.yaxis.range);
    if (!Object.keys(change).some((key) => key.includes(".range["))) return;
    state.ranges[id] = { x: x.slice(), y: y.slice() };
    draw(plot);
  }

  function digits(value, most) {
    const number = Number(value);
    if (!Number.isFinite(number)) return Number.isNaN(number) ? "unknown" : number < 0 ? "−∞" : "∞";
    return String(Number(number.toPrecision(most))).replace("-", "−");
  }

  function point(found, event) {
    const meta = found.data.meta, k = found.pointNumber;
    if (!meta) return;
    const lines = [];
    if (meta.phase) {
      const [row, column] = k, { x, y, reach } = meta.phase;
      lines.push(`${x.label}: ${digits(x.values[column], 2)}`, `${y.label}: ${digits(y.values[row], 2)}`);
      const steps = Number(reach[row][column]);
      lines.push(Number.isNaN(steps) ? "rugged, or nothing predicted" : `predicted horizon: ${digits(steps, 2)} steps`);
    } else if (meta.curve) {
      const { quantity, origin } = meta.curve;
      const plain = plots.some((plot) => isMemory(plot.dataset.figure) && chosen(plot.dataset.figure) === quantity);
      lines.push(data.networks[meta.network].name);
      if (!plain || origin !== "measured") lines.push(`${data.labels[quantity]}, ${origin}`);
      const error = meta.curve.error ? Number(meta.curve.error[k]) : NaN;
      const spread = error > 0 ? ` ± ${digits(error, 1)}` : "";
      lines.push(`lag ${meta.lags[k]}: ${digits(meta.curve.value[k], 3)}${spread}`);
    } else if (meta.learning) {
      lines.push(`${meta.learning.name}, ${meta.learning.kind}`);
      lines.push(`update ${meta.learning.steps[k]}: ${digits(meta.learning.value[k], 3)}`);
    } else if (meta.rank) {
      lines.push(data.networks[meta.network].name, `number ${meta.rank[k] + 1}: ${digits(meta.values[k], 3)}`);
      if (meta.origin !== "measured") lines.push(meta.origin);
    } else lines.push(`lag ${meta.lags[k]}: ${digits(meta.values[k], 3)}`);
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const spot = event.touches && event.touches[0] || event.changedTouches && event.changedTouches[0] || event;
    const left = Math.min(spot.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, spot.clientY - tip.offsetHeight - 12)}px`;
    if (meta.network !== undefined) highlight(meta.network, true);
  }

  function unpoint() { tip.hidden = true; highlight(null, false); }

  // Styles the drawn paths alone: a redraw of twenty curves at every move would stutter.
  function highlight(network, on) {
    for (const plot of plots) {
      plot.querySelectorAll("path.lit").forEach((path) => {
        path.classList.remove("lit"); path.style.stroke = path.dataset.stroke; path.style.strokeWidth = path.dataset.wide;
      });
      if (!on || state.coloured.includes(network) || !plot.calcdata) continue;
      plot.calcdata.forEach((calc) => {
        const trace = calc[0].trace;
        if (!trace.meta || trace.meta.network !== network) return;
        plot.querySelectorAll(`.trace${CSS.escape(trace.uid)} path.js-line`).forEach((path) => {
          path.dataset.stroke = path.style.stroke; path.dataset.wide = path.style.strokeWidth;
          path.classList.add("lit");
          path.style.stroke = getComputedStyle(document.documentElement).getPropertyValue("--ink");
          path.style.strokeWidth = "2.5px";
        });
      });
    }
    document.querySelectorAll("tbody tr").forEach((row) => {
      row.style.background = on && Number(row.dataset.network) === network ? "var(--wash)" : "";
    });
  }

  // --- the table

  function swatches() {
    const colours = (dark.matches ? data.dark : data.light).curves;
    document.querySelectorAll("button.name").forEach((button) => {
      const slot = state.coloured.indexOf(Number(button.dataset.network));
      button.setAttribute("aria-pressed", String(slot >= 0));
      button.querySelector(".swatch").style.borderTopColor = slot >= 0 ? colours[slot] : "";
    });
  }

  function toggle(network) {
    const slot = state.coloured.indexOf(network);
    const name = data.networks[network].name;
    if (slot >= 0) { state.coloured[slot] = -1; say(`${name} is grey.`); }
    else {
      const free = state.coloured.indexOf(-1);
      if (free >= 0) state.coloured[free] = network;
      else if (state.coloured.length < data.light.curves.length) state.coloured.push(network);
      else { say("All colours are taken: press a coloured name first."); return; }
      say(`${name} is in colour.`);
    }
    swatches(); drawAll();
  }

  function sortBy(heading) {
    const heads = Array.from(heading.parentNode.children), column = heads.indexOf(heading);
    const words = heading.classList.contains("word") && heading.dataset.key === "name";
    const before = heading.getAttribute("aria-sort");
    const direction = before === "none" ? (words ? "ascending" : "descending") : before === "ascending" ? "descending" : "ascending";
    heads.forEach((head) => head.setAttribute("aria-sort", head === heading ? direction : "none"));
    const body = document.querySelector("#table tbody"), sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.children[column].dataset.sort;
    const rows = Array.from(body.children).sort((a, b) => {
      const p = value(a), q = value(b);
      if (p === "" || q === "") return (p === "") - (q === "");
      return sign * (words ? p.localeCompare(q) : Number(p) - Number(q) || 0);
    });
    body.append(...rows);
    say(`Sorted by ${heading.querySelector("button").textContent.trim()}, ${direction}.`);
  }

  // --- copying

  function cell(value) {
    let text = String(value);
    // A spreadsheet would run a name that looks like a formula.
    if (typeof value === "string" && /^[=+\-@\t]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`;
    return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  function csv(id) {
    const rows = state.rows[id], lines = [];
    if (id === "learning") {
      lines.push(["seed", "kind", "update", learned()]);
      for (const { name, kind, steps, value } of rows) steps.forEach((step, k) => lines.push([name, kind, step, value[k]]));
    } else if (isMemory(id)) {
      lines.push(["network", "quantity", "origin", "lag", "value", "standard_error", "noise_floor"]);
      for (const { network, curve, lags } of rows) {
        lags.forEach((lag, k) => lines.push([network, curve.quantity, curve.origin, lag, curve.value[k],
          curve.error ? curve.error[k] : "", curve.floor ? curve.floor[k] : ""]));
      }
    } else if (id === "phase") {
      const { x, y, reach } = data.phase;
      lines.push([x.label, y.label, "predicted_horizon"]);
      reach.forEach((row, i) => row.forEach((steps, j) => lines.push([x.values[j], y.values[i], steps])));
    } else if (id === "autocorrelation") {
      lines.push(["lag", "autocorrelation"]);
      for (const { series } of rows) series.index.forEach((lag, k) => lines.push([lag, series.value[k]]));
    } else {
      lines.push(["network", "origin", "number", id === "spectrum" ? "exponent" : "log_singular_value"]);
      for (const { network, origin, series } of rows) {
        series.index.forEach((rank, k) => lines.push([network, origin, rank + 1, series.value[k]]));
      }
    }
    return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }

  async function copy(text, button) {
    let done = false;
    try { await navigator.clipboard.writeText(text); done = true; } catch (refused) { done = copyOldWay(text); }
    const label = button.dataset.label || button.textContent;
    button.dataset.label = label;
    button.textContent = done ? "Copied" : "Not allowed by the browser";
    say(done ? "Copied." : "The browser does not allow copying.");
    setTimeout(() => { button.textContent = label; }, 1600);
  }

  function copyOldWay(text) {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed"; area.style.opacity = "0";
    document.body.append(area);
    area.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch (refused) { done = false; }
    area.remove();
    return done;
  }

  // --- events

  function connect() {
    document.querySelectorAll("select[data-panel]").forEach((select) => {
      const panel = select.dataset.panel;
      const define = () => { document.getElementById(`definition-${panel}`).textContent = select.selectedOptions[0].dataset.definition; };
      define(); // a browser that reloads the page keeps what was chosen
      select.addEventListener("change", () => {
        delete state.ranges[panel];
        define();
        draw(document.getElementById(`plot-${panel}`));
      });
    });
    const definition = document.getElementById("definition");
    document.querySelectorAll("#table thead th").forEach((heading) => {
      const about = document.getElementById(`about-${heading.dataset.key}`).textContent;
      const tell = () => { definition.textContent = about; };
      heading.addEventListener("mouseenter", tell);
      heading.addEventListener("focusin", tell);
      heading.querySelector("button").addEventListener("click", () => { tell(); sortBy(heading); });
    });
    document.querySelectorAll("button.name").forEach((button) => button.addEventListener("click", () => toggle(Number(button.dataset.network))));
    document.querySelectorAll("tbody tr").forEach((row) => {
      const network = Number(row.dataset.network);
      for (const kind of ["mouseenter", "focusin"]) row.addEventListener(kind, () => highlight(network, true));
      for (const kind of ["mouseleave", "focusout"]) row.addEventListener(kind, () => highlight(null, false));
    });
    document.querySelectorAll("[data-csv]").forEach((button) => button.addEventListener("click", () => copy(csv(button.dataset.csv), button)));
    document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => copy(document.getElementById(button.dataset.copy).textContent, button)));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") unpoint(); });
    window.addEventListener("scroll", unpoint, { passive: true });
    dark.addEventListener("change", () => { swatches(); drawAll(); });
    for (const [kind, on] of [["beforeprint", true], ["afterprint", false]]) {
      window.addEventListener(kind, () => { state.printing = on; state.ranges = {}; drawAll(); });
    }
    let width = window.innerWidth, waiting = 0;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width || state.printing) return; // a phone's address bar changes the height alone
      width = window.innerWidth;
      clearTimeout(waiting);
      waiting = setTimeout(drawAll, 120);
    });
  }

  const root = document.documentElement;
  window.addEventListener("error", (event) => { root.dataset.error = event.message; });
  document.addEventListener("securitypolicyviolation", (event) => { root.dataset.refused = `${event.violatedDirective} ${event.blockedURI}`; });
  swatches();
  connect();
  drawAll();
  root.dataset.ready = "true";
})();
