"""The files in `data/` and `results/`, compared with experiments, specs and DVC's records; behind the command line."""
