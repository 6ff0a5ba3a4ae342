"""Refuses an experiment file that Snakemake cannot read, in one line.

Snakemake reads the files of `--configfile` before the Snakefile, and shows a traceback for one that is missing, damaged
or too deep. It reads the profile even earlier; every profile in `profiles/` runs this.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from heldout.errors import one_line
from heldout.planning.experiment_file import load

parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
parser.add_argument("--configfile", "--configfiles", nargs="*", default=[])
with one_line():
    for name in parser.parse_known_args()[0].configfile:
        load(Path(name))

# plan.smk imports the package beside the Snakefile, which may be another one.
sys.path.pop(0)
for name in [name for name in sys.modules if name.partition(".")[0] == "heldout"]:
    del sys.modules[name]
