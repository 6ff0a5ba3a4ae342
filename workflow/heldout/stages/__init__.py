"""The computing steps of the workflow: fetch, prepare, split, train and score."""
