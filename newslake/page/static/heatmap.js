// One stop for the Tab key in the heat map, whose cells are then reached by the arrow keys.
const table = document.querySelector("table.heat");
const cells = [...table.tBodies[0].rows].map(
  (row) => [...row.cells].map((cell) => cell.querySelector("a")),
);
const links = cells.flat().filter(Boolean);
const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function stopAt(link) {
  for (const each of links) each.tabIndex = each === link ? 0 : -1;
}

table.tBodies[0].addEventListener("focusin", (event) => stopAt(event.target));
table.tBodies[0].addEventListener("keydown", (event) => {
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  let row = cells.findIndex((each) => each.includes(event.target));
  let column = cells[row].indexOf(event.target);
  do {
    row += step[0];
    column += step[1];
  } while (cells[row]?.[column] === null);  // a day without articles is no link
  cells[row]?.[column]?.focus();
});
if (links.length) stopAt(links.at(-1));
const scroll = table.parentElement;
scroll.scrollLeft = scroll.scrollWidth;  // the newest days
