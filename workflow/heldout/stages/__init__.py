"""The steps of the workflow that compute: fetch, prepare, split, train and score, with what they share."""
