rule write_tables:
    input:
        inputs=PLAN.inputs,
        metrics=PLAN.evaluated,
        timings=ancient(PLAN.timings),
        splits=ancient(PLAN.splits),
    output:
        PLAN.written,
        PLAN.metrics,
    log:
        f"results/logs/{PLAN.settings.experiment}/tables.log",
    benchmark:
        f"results/benchmarks/{PLAN.settings.experiment}/tables.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: attempt * of_files(PLAN).mem_mb,
        runtime=lambda wildcards, attempt: attempt * of_files(PLAN).runtime,  # minutes
    message:
        "Write the tables"
    shell:
        "heldout tables --inputs {input.inputs:q} > {log:q} 2>&1"


for kind, files in PLAN.figures.items():

    rule:
        name:
            f"figure_{kind}"
        input:
            inputs=PLAN.inputs,
            tables=WIRING.reads(kind, "tables"),
            scores=WIRING.reads(kind, "scores"),
            checkpoints=ancient(WIRING.reads(kind, "checkpoints")),
            labels=ancient(WIRING.reads(kind, "labels")),
        output:
            files,
        log:
            f"results/logs/{PLAN.settings.experiment}/figure-{kind}.log",
        benchmark:
            f"results/benchmarks/{PLAN.settings.experiment}/figure-{kind}.tsv"
        group:
            # That of `evaluate`, by the profile of a cluster, which cannot name these rules. A group of their own would
            # make planning quadratic on one machine too.
            lambda wildcards: workflow.group_settings.overwrite_groups.get("evaluate")
        conda:
            "../../envs/report.yaml"
        threads: 1
        resources:
            gpu=0,
            mem_mb=lambda wildcards, attempt, kind=kind: attempt * of_figures(PLAN, kind).mem_mb,
            runtime=lambda wildcards, attempt, kind=kind: attempt * of_figures(PLAN, kind).runtime,  # minutes
        params:
            kind=kind,
        message:
            "Draw the figures: {params.kind}"
        shell:
            "heldout figure {params.kind} --inputs {input.inputs:q} > {log:q} 2>&1"


rule manifest:
    input:
        inputs=PLAN.inputs,
        tables=PLAN.tables,
        figures=PLAN.figures.values(),
        metrics=PLAN.metrics,
        checkpoints=ancient(PLAN.checkpoints),
        scores=ancient(PLAN.scores),
    output:
        update(PLAN.manifest),  # it reads what an earlier run made
    log:
        f"results/logs/{PLAN.settings.experiment}/manifest.log",
    benchmark:
        f"results/benchmarks/{PLAN.settings.experiment}/manifest.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: attempt * of_files(PLAN).mem_mb,
        runtime=lambda wildcards, attempt: attempt * of_files(PLAN).runtime,  # minutes
    message:
        "List every file behind the results, with hashes"
    shell:
        "heldout manifest --inputs {input.inputs:q} > {log:q} 2>&1"
