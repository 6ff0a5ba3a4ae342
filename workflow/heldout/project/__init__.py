"""Commands on the files in `data/` and `results/`: compare them with experiments, specs and DVC's records."""
