# heldout: train GANs on the classes called normal, score every test image, redraw the papers' tables.
# First look (CPU, offline):  snakemake --cores all
# Another experiment:         snakemake --cores all --configfile FILE
if not workflow.configfiles:  # an experiment file stands alone; without this, Snakemake merges it onto config.yaml

    configfile: "config.yaml"


include: "workflow/rules/plan.smk"  # checks the experiment and names every file: PLAN, WIRING
include: "workflow/rules/data.smk"  # fetch, prepare, split
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/evaluate.smk"  # the first rule that may read test labels
include: "workflow/rules/report.smk"  # tables, figures, manifest; never needs a GPU


localrules:
    fetch,
    inputs,


rule all:
    default_target: True
    input:
        PLAN.tables,
        PLAN.figures.values(),
        PLAN.metrics,
        PLAN.manifest,


rule checkpoints:
    input:
        PLAN.checkpoints,


rule tables:
    input:
        PLAN.tables,


rule figures:
    input:
        PLAN.figures.values(),
