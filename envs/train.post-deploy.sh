# Runs in the new environment, in the folder where snakemake was started: adds the `heldout` command.
pip install --no-deps --editable .
