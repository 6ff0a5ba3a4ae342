rule write_tables:
    input:
        inputs=ancient(PLAN.inputs),
        listed=ancient(REPORT.records["inputs"]),
        metrics=PLAN.evaluated,
        evaluated=REPORT.records["evaluate"],
        timings=ancient(PLAN.timings),
        splits=ancient(PLAN.splits),
    output:
        tables=PLAN.written,
        metrics=PLAN.metrics,
        record=REPORT.records["tables"],
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
        runtime=lambda wildcards, attempt: attempt * report_minutes("tables", of_files(PLAN)),  # minutes
    message:
        "Write the tables"
    shell:
        "heldout tables --inputs {input.inputs:q} --record {output.record:q} > {log:q} 2>&1"


for kind, files in PLAN.figures.items():

    rule:
        name:
            f"figure_{kind}"
        input:
            inputs=ancient(PLAN.inputs),
            listed=ancient(REPORT.records["inputs"]),
            tables=WIRING.reads(kind, "tables"),
            evaluated=REPORT.records["evaluate"] if WIRING.reads(kind, "tables") else [],
            scores=WIRING.reads(kind, "scores"),
            checkpoints=ancient(WIRING.reads(kind, "checkpoints")),
            labels=ancient(WIRING.reads(kind, "labels")),
        output:
            files=files,
            record=REPORT.records[f"figure_{kind}"],
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
            runtime=lambda wildcards, attempt, kind=kind: attempt
            * report_minutes(f"figure_{kind}", of_figures(PLAN, kind)),
        params:
            kind=kind,
        message:
            "Draw the figures: {params.kind}"
        shell:
            "heldout figure {params.kind} --inputs {input.inputs:q} --record {output.record:q} > {log:q} 2>&1"


rule manifest:
    input:
        inputs=ancient(PLAN.inputs),
        tables=PLAN.tables,
        figures=PLAN.figures.values(),
        metrics=PLAN.metrics,
        records=[record for step, record in REPORT.records.items() if step != "manifest"],
        checkpoints=ancient(PLAN.checkpoints),
        scores=ancient(PLAN.scores),
    output:
        manifest=update(PLAN.manifest),  # it reads what an earlier run made
        record=REPORT.records["manifest"],
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
        runtime=lambda wildcards, attempt: attempt * report_minutes("manifest", of_files(PLAN)),  # minutes
    message:
        "List every file behind the results, with hashes"
    shell:
        "heldout manifest --inputs {input.inputs:q} --record {output.record:q} > {log:q} 2>&1"
