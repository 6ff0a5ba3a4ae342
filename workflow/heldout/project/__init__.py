"""What lies in `data/` and `results/`, held against the experiments that name it, its specs and DVC's records."""
