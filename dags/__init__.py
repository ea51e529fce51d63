"""Airflow's DAG folder: schedules and wiring, nothing else."""
