"""The page in Airflow: what lies in the dataset, how each source is, and each article.

Views are server-rendered, read the lake through ``newslake.open_lake`` and write nothing; every
address asks for Airflow's login and its access check.
"""
