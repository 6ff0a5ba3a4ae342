# heldout: train GANs on the normal classes, score every test image, write the papers' tables and figures.
# The quickstart (CPU, offline):  snakemake --cores all
# Another experiment:             snakemake --cores all --configfile FILE
include: "workflow/rules/plan.smk"  # reads FILE or config.yaml, checks it and names every file: PLAN, WIRING
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
        REPORT.records.values(),


rule checkpoints:
    input:
        PLAN.checkpoints,


rule tables:
    input:
        PLAN.tables,
        REPORT.records["tables"],


rule figures:
    input:
        PLAN.figures.values(),
        [REPORT.records[f"figure_{kind}"] for kind in PLAN.figures],
