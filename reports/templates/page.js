"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 600px)");
  const inks = read("inks");
  const charts = [...document.querySelectorAll(".chart")];
  const PAPER_WIDTH = 680; // what is left of A4 and of Letter beside our margins, in CSS pixels
  let printing = false;

  // Without scripts the tables stand open and there is no room for charts.
  document.documentElement.classList.add("drawing");
  document.querySelectorAll("details.twin").forEach((twin) => twin.removeAttribute("open"));
  let library;

  // plotly.js is packed: unpack it once, and run it as the inline script whose hash the page's policy names.
  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("plotly.js did not start");
    return window.Plotly;
  };
  const plotly = () => (library ??= unpack());

  const repaint = (value) => {
    if (typeof value === "string") return inks[value] ?? value;
    if (Array.isArray(value)) return value.map(repaint);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, repaint(inner)]));
  };

  const thin = (axis) => {
    const step = Math.ceil(axis.tickvals.length / 5);
    const last = axis.tickvals.indexOf(1);
    const kept = (_, place) => (place - last) % step === 0;
    axis.tickvals = axis.tickvals.filter(kept);
    axis.ticktext &&= axis.ticktext.filter(kept);
  };

  // Long row names would leave a phone no room for the picture: they go above their rows.
  const labelAbove = (layout) => {
    const names = layout.yaxis.ticktext;
    layout.yaxis.showticklabels = false;
    layout.height += 10 * names.length;
    names.forEach((text, y) => (layout.annotations ??= []).push({
      text, y, x: 0, xref: "paper", xanchor: "left", yanchor: "middle", yshift: 13, showarrow: false,
      font: { size: 10, color: layout.xaxis.title.font.color },
    }));
  };

  const squeeze = (figure) => {
    const layout = figure.layout;
    layout.font.size = 11;
    for (const [name, axis] of Object.entries(layout)) {
      if (!/^[xy]axis/.test(name)) continue;
      axis.tickfont = { ...axis.tickfont, size: 10 };
      if (axis.title) axis.title.font = { ...axis.title.font, size: 11 };
      if (name[0] === "x" && axis.type !== "log" && !axis.tickvals) axis.nticks = 4;
      if (name[0] === "x" && axis.tickvals?.length > 5) thin(axis);
    }
    if (layout.meta?.rows) labelAbove(layout);
    return figure;
  };

  const draw = async (chart) => {
    const library = await plotly();
    let figure = read(chart.dataset.figure);
    if (dark.matches && !printing) figure = repaint(figure);
    if (narrow.matches) figure = squeeze(figure);
    if (printing) figure.layout.width = PAPER_WIDTH;
    figure.layout.hoverlabel.bgcolor = dark.matches && !printing ? "#20262d" : "#ffffff";
    chart.dataset.state = "drawing";
    await library.react(chart, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    chart.dataset.state = "drawn";
  };

  const fail = (chart, error) => {
    chart.dataset.state = "failed";
    chart.style.setProperty("--height", "0");
    chart.textContent = "This browser could not draw the chart; its numbers stand in the table below.";
    chart.title = String(error);
  };
  const show = (chart) => draw(chart).catch((error) => fail(chart, error));
  const redraw = () => charts.filter((chart) => chart.dataset.state === "drawn").forEach(show);

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      near.unobserve(entry.target);
      show(entry.target);
    }
  }, { rootMargin: "800px" });
  charts.forEach((chart) => near.observe(chart));
  addEventListener("load", () => setTimeout(() => plotly().catch(() => {}), 500)); // ready before somebody prints
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);

  document.getElementById("order-metric")?.addEventListener("change", (event) => {
    const chart = document.getElementById("order-chart");
    chart.dataset.figure = event.target.value;
    show(chart);
  });

  const folds = [...document.querySelectorAll("details:not(.twin)")].filter((fold) => fold.querySelector(".chart"));
  let opened = [];
  const paper = (on) => () => {
    printing = on;
    if (on) opened = folds.filter((fold) => !fold.open);
    opened.forEach((fold) => { fold.open = on; });
    (on ? charts : charts.filter((chart) => chart.dataset.state === "drawn")).forEach(show);
  };
  addEventListener("beforeprint", paper(true));
  addEventListener("afterprint", paper(false));

  const unfold = () => document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
  addEventListener("hashchange", unfold);
  unfold();

  const copy = document.getElementById("copy");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("command").textContent);
    document.getElementById("copied").textContent = "Copied.";
  });
})();
