// Plays the reader in the browser test: every line of `notes` is checked from Python.
(async function () {
  const notes = {};
  const plot = (id) => document.getElementById(`plot-${id}`);
  const heads = Array.from(document.querySelectorAll("#table thead th"));
  const head = (key) => heads.find((one) => one.dataset.key === key);
  const order = () => Array.from(document.querySelectorAll("#table tbody tr")).map((row) => Number(row.dataset.network));

  notes.drawn = Array.from(document.querySelectorAll(".plot")).map((one) => one.querySelectorAll("path.js-line").length);
  head("gain").querySelector("button").click();
  notes.byGain = order();
  notes.ariaGain = head("gain").getAttribute("aria-sort");
  notes.definition = document.getElementById("definition").textContent;
  head("gain").querySelector("button").click();
  notes.byGainUp = order();
  head("exponent").querySelector("button").click();
  notes.byExponent = order();
  head("name").querySelector("button").click();
  notes.byName = order();

  const names = Array.from(document.querySelectorAll("button.name"));
  const grey = names.find((one) => one.dataset.network === "6");
  grey.closest("tr").dispatchEvent(new MouseEvent("mouseenter"));
  notes.lit = document.querySelectorAll("path.lit").length;
  grey.closest("tr").dispatchEvent(new MouseEvent("mouseleave"));
  notes.unlit = document.querySelectorAll("path.lit").length;
  notes.before = names.filter((one) => one.getAttribute("aria-pressed") === "true").length;
  grey.click();
  notes.after = names.filter((one) => one.getAttribute("aria-pressed") === "true").length;
  notes.labels = Array.from(plot("gain").querySelectorAll(".annotation-text")).map((one) => one.textContent);

  const key = () => Array.from(document.querySelectorAll("[data-kind]")).filter((one) => !one.hidden).map((one) => one.dataset.kind);
  const thin = () => plot("gain").data.filter((one) => one.line && one.line.width === 1).length;
  notes.keyFirst = key();
  notes.thin = thin();
  const wanted = plot("gain").data.find((one) => one.meta);
  notes.wanted = wanted.meta.lags.includes(250);
  const select = document.getElementById("choose-gain");
  select.value = "coherent_reach";
  select.dispatchEvent(new Event("change"));
  notes.axis = plot("gain").querySelector(".ytitle").textContent;
  notes.keyAfter = key();
  notes.thinAfter = thin();
  notes.caption = document.getElementById("definition-gain").textContent;

  const copied = [];
  Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { copied.push(text); } } });
  for (const button of document.querySelectorAll("[data-csv]")) { button.click(); await new Promise((done) => setTimeout(done, 5)); }
  notes.csv = copied.map((text) => text.split("\n").slice(0, 3));
  notes.csvNames = Array.from(new Set(copied[0].split("\n").slice(1).map((line) => line.split(",").length)));
  notes.formula = copied[0].includes("\"'=1+1, or so\"");
  document.querySelector("[data-copy]").click();
  await new Promise((done) => setTimeout(done, 5));
  notes.snippet = copied[copied.length - 1].split("\n")[0];

  const boxes = Array.from(plot("information").querySelectorAll(".annotation")).map((one) => one.getBoundingClientRect());
  notes.overlaps = 0;
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 3) notes.overlaps += 1;
  }));
  notes.wider = document.documentElement.scrollWidth > window.innerWidth;
  window.dispatchEvent(new Event("beforeprint"));
  notes.printWidth = plot("gain").layout.width;
  window.dispatchEvent(new Event("afterprint"));
  notes.images = document.images.length;
  const said = document.createElement("p");
  said.id = "notes";
  said.textContent = JSON.stringify(notes);
  document.body.append(said);
})();
