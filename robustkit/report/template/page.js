"use strict";
(() => {
  const root = document.documentElement;
  const began = performance.now();
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const plots = [...document.querySelectorAll(".plot")];

  // Plotly's drawings take the colours of the page's mode.
  function dress(layout) {
    layout.font = { ...layout.font, color: css("--ink") };
    const axes = { color: css("--ink"), gridcolor: css("--grid"), zerolinecolor: css("--grid"), linecolor: css("--line") };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) layout[key] = { ...layout[key], ...axes };
      if (/^scene\d*$/.test(key)) {
        for (const axis of ["xaxis", "yaxis", "zaxis"]) layout[key][axis] = { ...layout[key][axis], ...axes };
      }
    }
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: css("--panel"), bordercolor: css("--line"), font: { color: css("--ink") } };
    for (const note of layout.annotations || []) {
      if (note.name !== "cell") note.font = { ...note.font, color: css("--ink") };
    }
    return layout;
  }

  const drawn = new Set();
  async function draw(div) {
    if (drawn.has(div)) return;
    drawn.add(div);
    const spec = JSON.parse(document.getElementById(`${div.dataset.figure}-figure`).textContent);
    await Plotly.newPlot(div, spec.data, dress(spec.layout), { displayModeBar: false, responsive: true });
    div.closest("figure").classList.add("drawn");
    if (spec.data.some((trace) => trace.meta === "thumbnails")) show(div);
  }

  // The picture of the image under the pointer.
  const box = document.getElementById("thumbnail");
  const sprite = document.getElementById("sprite") && JSON.parse(document.getElementById("sprite").textContent);
  if (sprite) {
    box.style.backgroundImage = `url("${sprite.url}")`;
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
  const flat = plots.filter((div) => !div.closest("figure").querySelector(".cameras"));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "600px" });
  plots.forEach((div) => near.observe(div));
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 1));
  (function next() {
    const div = flat.find((one) => !drawn.has(one));
    if (!div) { root.dataset.ready = String(Math.round(performance.now())); root.dataset.drawing = String(Math.round(performance.now() - began)); return; }
    idle(() => draw(div).then(next));
  })();

  const cameras = { front: { x: 0, y: -2, z: 0.1 }, side: { x: 2, y: 0, z: 0.1 }, top: { x: 0, y: -0.01, z: 2.1 }, oblique: { x: 1.25, y: 1.25, z: 1.25 } };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-camera]");
    if (!button) return;
    const div = document.getElementById(button.dataset.plot);
    await draw(div);
    Plotly.relayout(div, { "scene.camera.eye": cameras[button.dataset.camera] });
  });

  const dark = matchMedia("(prefers-color-scheme: dark)");
  function redress() {
    for (const div of drawn) if (div.layout) Plotly.react(div, div.data, dress(div.layout));
  }
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    redress();
  });
  dark.addEventListener("change", redress);
})();
