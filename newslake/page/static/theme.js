// Airflow keeps the theme that its user chose under this key; where none is, the system's holds.
function follow() {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  } else {
    delete document.documentElement.dataset.theme;
  }
}
follow();
addEventListener("storage", follow);
