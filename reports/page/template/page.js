"use strict";

// Tables: a header sorts upwards, downwards, and back to the order of the file; missing values stay last.
const text = cell => cell.dataset.value ?? cell.textContent.trim();
const missing = value => value === "" || value === "-";
const words = new Intl.Collator("en", { numeric: true }).compare;

function sort(head) {
  const table = head.closest("table"), body = table.tBodies[0], place = head.cellIndex;
  table.rowsAsWritten ??= [...body.rows];
  const now = { undefined: "ascending", ascending: "descending" }[head.getAttribute("aria-sort") ?? undefined];
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  if (!now) return body.append(...table.rowsAsWritten);
  head.setAttribute("aria-sort", now);
  const value = row => text(row.cells[place]);
  const numbers = table.rowsAsWritten.every(row => missing(value(row)) || isFinite(value(row)));
  const sign = now === "descending" ? -1 : 1;
  body.append(...[...table.rowsAsWritten].sort((a, b) => {
    const x = value(a), y = value(b);
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    return sign * (numbers ? x - y : words(x, y));
  }));
}

for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => { sort(button.parentElement); pause(true); });

// Figures: the library is unpacked and run when a reader first explores a figure. Without it the drawing stays.
let plotly;
async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  return window.Plotly;
}

async function explore(figure, button) {
  const drawn = figure.querySelector(".drawn"), plot = figure.querySelector(".plot");
  const wanted = plot.hidden;
  pause(true);
  if (wanted) {
    plotly ??= unpack();
    const library = await plotly;
    plot.hidden = false;
    if (!plot.childElementCount) {
      const { data, layout } = JSON.parse(figure.querySelector(".data").textContent);
      const fitting = { ...layout, width: undefined, autosize: true };
      await library.newPlot(plot, data, fitting, { responsive: true, displaylogo: false });
    }
  }
  plot.hidden = !wanted;
  drawn.hidden = wanted;
  button.setAttribute("aria-pressed", wanted);
}

if (document.getElementById("plotly") && window.DecompressionStream)
  for (const button of document.querySelectorAll(".explore")) {
    button.hidden = false;
    button.addEventListener("click", () => explore(button.closest("figure"), button));
  }

// Printing: what is folded is opened, and what is explored is drawn.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const button of document.querySelectorAll(".explore[aria-pressed=true]")) button.click();
});

// Watching: the page reloads, which keeps its place, until it is paused or touched.
const watch = document.querySelector(".watch span"), seconds = Number(document.body.dataset.reload);
let timer;
function pause(wanted) {
  if (!watch) return;
  clearInterval(timer);
  if (!wanted) timer = setInterval(() => location.reload(), 1000 * seconds);
  watch.querySelector("button").setAttribute("aria-pressed", wanted);
}

if (watch) {
  const button = watch.querySelector("button");
  watch.hidden = false;
  button.addEventListener("click", () => pause(button.getAttribute("aria-pressed") === "false"));
  pause(false);
}
