"""Plans an experiment: the files, digests and resources of every job. Imports neither PyTorch nor a plug-in."""
