"""Pure processing: from a fetched page to a row of the dataset, whoever runs it."""
