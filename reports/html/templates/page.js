"use strict";
// Tables: a click on a column's name sorts by it, a second one the other way; what is undefined stays last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.dataset.sort === "number";
      const current = head.getAttribute("aria-sort");
      const up = current ? current === "descending" : !numeric;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const rows = [...body.rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return (up ? 1 : -1) * (numeric ? x - y : x.localeCompare(y));
      });
      body.append(...rows);
    });
  });
}

// The confusion matrix: the pair under the pointer, or at the cursor that the arrow keys move, in words.
for (const svg of document.querySelectorAll("svg.matrix")) {
  const data = JSON.parse(document.getElementById(svg.dataset.source).textContent);
  const line = document.getElementById(svg.dataset.output);
  const counts = new Map(data.cells.map(([row, column, count]) => [row * data.columns + column, count]));
  const cursor = svg.querySelector(".cursor");
  const { cell, left, top } = data;
  let [row, column] = [0, 0];
  const show = (r, c) => {
    [row, column] = [r, c];
    const count = counts.get(r * data.columns + c) ?? 0;
    const of = data.support[r];
    const share = of ? `${(100 * count / of).toFixed(1)} %` : "–";
    line.textContent = `truth ${data.names[r]} → prediction ${data.names[c]}: ${share}, ${count.toLocaleString("en")} of ${of.toLocaleString("en")} ${data.unit}`;
    cursor.setAttribute("x", left + c * cell);
    cursor.setAttribute("y", top + r * cell);
    cursor.removeAttribute("visibility");
  };
  svg.addEventListener("pointermove", event => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const [r, c] = [Math.floor((point.y - top) / cell), Math.floor((point.x - left) / cell)];
    if (r >= 0 && r < data.rows && c >= 0 && c < data.columns) show(r, c);
  });
  svg.addEventListener("keydown", event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    show(Math.min(Math.max(row + step[0], 0), data.rows - 1), Math.min(Math.max(column + step[1], 0), data.columns - 1));
    cursor.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" }); // a held key moves faster than an animation
  });
  svg.addEventListener("focus", () => show(row, column));
}

// On paper everything is open.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(each => { each.open = true; }));
