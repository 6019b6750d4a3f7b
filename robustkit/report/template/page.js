"use strict";
(() => {
  const root = document.documentElement;
  const began = performance.now();
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const plots = [...document.querySelectorAll(".plot")];

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mode = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const twins = JSON.parse(document.getElementById("twins").textContent);

  // The twin of a colour on the dark page, whether it is opaque or lets through what lies beneath.
  function twin(text) {
    const solid = twins[text.toLowerCase()];
    if (solid) return solid;
    const parts = /^rgba\((\d+), (\d+), (\d+), ([\d.]+)\)$/.exec(text);
    if (!parts) return text;
    const hex = (numbers) => `#${numbers.map((one) => Number(one).toString(16).padStart(2, "0")).join("")}`;
    const found = twins[hex(parts.slice(1, 4))];
    if (!found) return text;
    const values = [1, 3, 5].map((at) => parseInt(found.slice(at, at + 2), 16));
    return `rgba(${values.join(", ")}, ${parts[4]})`;
  }
  function darken(value) {
    if (typeof value === "string") return value.length < 40 ? twin(value) : value;
    if (Array.isArray(value)) return value.map(darken);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, key === "bdata" ? one : darken(one)]));
    }
    return value;
  }

  // Plotly's drawings take the colours of the page's mode.
  function dress(layout) {
    layout.font = { ...layout.font, color: css("--ink") };
    const axes = { color: css("--ink"), gridcolor: css("--grid"), zerolinecolor: css("--grid"), linecolor: css("--line") };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) layout[key] = { ...layout[key], ...axes };
      if (/^scene\d*$/.test(key)) {
        const { linecolor, ...inSpace } = axes;
        for (const axis of ["xaxis", "yaxis", "zaxis"]) layout[key][axis] = { ...layout[key][axis], ...inSpace };
      }
    }
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: css("--panel"), bordercolor: css("--line"), font: { color: css("--ink") } };
    for (const note of layout.annotations || []) {
      note.font = { color: css("--ink"), ...note.font };
    }
    return layout;
  }

  function figure(div) {
    const spec = JSON.parse(document.getElementById(`${div.dataset.figure}-figure`).textContent);
    const { data, layout } = mode() === "dark" ? darken(spec) : spec;
    return { data, layout: dress(layout) };
  }

  const spaces = (div) => Object.keys(div.layout).filter((key) => /^scene\d*$/.test(key));

  // Spaces side by side are seen from one side.
  function turnTogether(div) {
    let turning = false;
    if (spaces(div).length < 2) return;
    div.on("plotly_relayout", async (event) => {
      const key = Object.keys(event).find((one) => /^scene\d*\.camera$/.test(one));
      if (!key || turning) return;
      turning = true;
      await Plotly.relayout(div, Object.fromEntries(spaces(div).map((name) => [`${name}.camera`, event[key]])));
      turning = false;
    });
  }

  // Plotly lies packed in the page. A browser that cannot unpack it shows the printed drawings.
  const unpacked = (async () => {
    const packed = document.getElementById("plotly");
    if (!packed || !window.DecompressionStream) return false;
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const script = document.createElement("script");
    script.textContent = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(script);
    return Boolean(window.Plotly);
  })();

  const drawn = new Set();
  async function draw(div) {
    if (drawn.has(div) || !(await unpacked) || drawn.has(div)) return;
    drawn.add(div);
    const spec = figure(div);
    await Plotly.newPlot(div, spec.data, spec.layout, { displayModeBar: false, responsive: true });
    div.closest("figure").classList.add("drawn");
    if (spec.data.some((trace) => trace.meta === "thumbnails")) show(div);
    turnTogether(div);
  }

  // The picture of the image under the pointer.
  const box = document.getElementById("thumbnail");
  const sprite = document.getElementById("sprite") && JSON.parse(document.getElementById("sprite").textContent);
  if (sprite) {
    const zoom = 96 / sprite.side;
    box.style.backgroundSize = `${sprite.columns * 96}px ${sprite.rows * sprite.side * zoom}px`;
  }
  function show(div) {
    if (!sprite) return;
    div.on("plotly_hover", (event) => {
      const point = event.points[0];
      const place = Array.isArray(point.customdata) ? point.customdata[0] : point.customdata;
      if (typeof place !== "number" || place >= sprite.count) return;
      box.style.backgroundPosition = `-${(place % sprite.columns) * 96}px -${Math.floor(place / sprite.columns) * 96}px`;
      const bounds = div.getBoundingClientRect();
      const at = event.event || { clientX: bounds.right - 60, clientY: bounds.top };
      box.style.left = `${Math.max(4, Math.min(at.clientX - 112, innerWidth - 104))}px`;
      box.style.top = `${Math.max(4, Math.min(at.clientY + 14, innerHeight - 104))}px`;
      box.hidden = false;
    });
    div.on("plotly_unhover", () => { box.hidden = true; });
  }

  // Flat drawings one after the other in idle time; those in space, which need the graphics card, when they come near.
  const shut = (div) => div.closest("details.fold:not([open])");
  const flat = plots.filter((div) => !div.closest("figure").querySelector(".cameras") && !shut(div));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "600px" });
  plots.forEach((div) => near.observe(div));
  // A link into what is folded away opens it.
  const open = () => {
    const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = at && at.closest("details.fold");
    if (fold && !fold.open) { fold.open = true; at.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
  // On paper nothing is folded away; what was open before is open again afterwards.
  let shutBefore = [];
  matchMedia("print").addEventListener("change", (event) => {
    if (event.matches) shutBefore = [...document.querySelectorAll("details.fold:not([open]), details.beside:not([open])")];
    for (const one of shutBefore) one.open = event.matches;
  });
  // Escape hides an explanation that the pointer or the focus has opened.
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && document.activeElement.matches(".term")) document.activeElement.blur(); });
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 1));
  (async function next() {
    const div = (await unpacked) && flat.find((one) => !drawn.has(one));
    if (!div) { root.dataset.ready = String(Math.round(performance.now())); root.dataset.drawing = String(Math.round(performance.now() - began)); return; }
    idle(() => draw(div).then(next));
  })();

  const cameras = { front: { x: 0, y: -2, z: 0.1 }, side: { x: 2, y: 0, z: 0.1 }, top: { x: 0, y: -0.01, z: 2.1 }, oblique: { x: 1.25, y: 1.25, z: 1.25 } };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-camera]");
    if (!button) return;
    const div = document.getElementById(button.dataset.plot);
    await draw(div);
    if (window.Plotly) Plotly.relayout(div, Object.fromEntries(spaces(div).map((key) => [`${key}.camera.eye`, cameras[button.dataset.camera]])));
  });

  function redress() {
    for (const div of drawn) {
      if (!div.layout) continue;
      const spec = figure(div);
      Plotly.react(div, spec.data, spec.layout);
    }
  }
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = mode() === "dark" ? "light" : "dark";
    redress();
  });
  dark.addEventListener("change", redress);

  // The heading of a column sorts the rows by it: numbers by their size, all else by the alphabet.
  for (const table of document.querySelectorAll(".scroll table")) {
    const body = table.tBodies[0];
    if (!body || body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[place].textContent.trim();
        const size = (text) => parseFloat(text.replace(/^[<>=~ ]+/, "").replace(/(\d),(?=\d{3})/g, "$1"));
        const order = (one, other) => {
          const [a, b] = [size(key(one)), size(key(other))];
          if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1; // what is empty stands last
          const ahead = Number.isNaN(a) ? key(one).localeCompare(key(other)) : a - b;
          return down ? -ahead : ahead;
        };
        body.append(...[...body.rows].sort(order));
      });
    });
  }
})();
