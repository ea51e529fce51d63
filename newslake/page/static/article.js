import { follow } from "./outside.js";

// Starts runs of DAGs by Airflow's own REST API, as its user: Airflow checks the role, and its
// cookie comes with requests from this site alone.
for (const button of document.querySelectorAll("[data-opens]")) {
  button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
}

for (const form of document.querySelectorAll("dialog form")) {
  const dialog = form.closest("dialog");
  form.querySelector("[data-closes]").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(form);
  });
}

async function start(form) {
  const submit = form.querySelector("[type=submit]");
  const { dag, airflow } = form.dataset;
  submit.disabled = true;
  say(form, "Starting…");
  const conf = JSON.parse(form.dataset.conf);
  for (const box of form.querySelectorAll("[type=checkbox]")) conf[box.name] = box.checked;
  try {
    const answer = await fetch(`${airflow}/api/v2/dags/${dag}/dagRuns`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ logical_date: null, conf }),
    });
    const said = await answer.json();
    if (!answer.ok) throw new Error(refusal(answer.status, said.detail));
    const link = document.createElement("a");
    link.href = `${airflow}/dags/${dag}/runs/${encodeURIComponent(said.dag_run_id)}`;
    link.textContent = "see the run in Airflow";
    link.dataset.outside = "_top";
    follow(link);
    say(form, "Started; ", link);
  } catch (error) {
    submit.disabled = false;
    say(form, `Not started: ${error.message}.`);
    form.querySelector(".answer").classList.add("bad");
  }
}

function refusal(status, detail) {
  if (status === 401) return "you are no longer logged in to Airflow; log in and try again";
  if (status === 403) return "your role in Airflow may not start this DAG";
  return typeof detail === "string" ? detail : `Airflow answered ${status}`;
}

function say(form, ...parts) {
  const answer = form.querySelector(".answer");
  answer.classList.remove("bad");
  answer.replaceChildren(...parts);
}
