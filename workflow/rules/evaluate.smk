# The list of the tables' inputs. Planning names another record for each step whose results are not of today's list.
rule inputs:
    input:
        inputs=ancient(REPORT.inputs),
        record=ancient(REPORT.record),
    output:
        inputs=PLAN.inputs,
        record=REPORT.records["inputs"],
    log:
        f"results/logs/{PLAN.settings.experiment}/inputs.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=100,
        runtime=1,
    params:
        folder=subpath(output.inputs, parent=True),
    message:
        "List the inputs of the tables"
    shell:
        "rm -f {params.folder:q}/records/inputs-*.json && cp {input.inputs:q} {output.inputs:q} 2> {log:q}"
        " && cp {input.record:q} {output.record:q} 2> {log:q}"


# The first rule that reads test labels. It is cheap, so it depends on the modification times of its inputs.
rule evaluate:
    input:
        inputs=ancient(PLAN.inputs),
        listed=ancient(REPORT.records["inputs"]),
        scores=PLAN.scores,
        splits=ancient(PLAN.splits),
        labels=ancient(PLAN.labels),
    output:
        tables=PLAN.evaluated,
        record=REPORT.records["evaluate"],
    log:
        f"results/logs/{PLAN.settings.experiment}/evaluate.log",
    benchmark:
        f"results/benchmarks/{PLAN.settings.experiment}/evaluate.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: attempt * of_evaluation(PLAN).mem_mb,
        runtime=lambda wildcards, attempt: attempt * report_minutes("evaluate", of_evaluation(PLAN)),  # minutes
    message:
        "Evaluate: join the labels, compute metrics and their intervals"
    shell:
        "heldout evaluate --inputs {input.inputs:q} --record {output.record:q} > {log:q} 2>&1"
