"""From an experiment file to the files, digests and resources of every job. Imports nothing heavy."""
