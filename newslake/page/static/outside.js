// Links that lead out of the page (data-outside): Airflow shows the page in a frame that may not
// move the window round it, so that window's own document follows them.
for (const link of document.querySelectorAll("a[data-outside]")) follow(link);

export function follow(link) {
  link.addEventListener("click", (event) => {
    if (parent === window) return;
    event.preventDefault();
    const own = parent.document.createElement("a");
    own.href = link.href;
    own.target = link.dataset.outside;
    own.rel = "noopener noreferrer";
    own.click();
  });
}
