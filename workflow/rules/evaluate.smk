# The list of the tables' inputs. It is ancient() unless the experiment has changed it.
rule inputs:
    input:
        INPUTS.path if INPUTS.is_new else ancient(INPUTS.path),
    output:
        PLAN.inputs,
    log:
        f"results/logs/{PLAN.settings.experiment}/inputs.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=100,
        runtime=1,
    message:
        "List the inputs of the tables"
    shell:
        "cp {input:q} {output:q} 2> {log:q}"


# The first rule that reads test labels. It is cheap, so it depends on the modification times of its inputs.
rule evaluate:
    input:
        inputs=PLAN.inputs,
        scores=PLAN.scores,
        splits=ancient(PLAN.splits),
        labels=ancient(PLAN.labels),
    output:
        PLAN.evaluated,
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
        runtime=lambda wildcards, attempt: attempt * of_evaluation(PLAN).runtime,  # minutes
    message:
        "Evaluate: join the labels, compute metrics and their intervals"
    shell:
        "heldout evaluate --inputs {input.inputs:q} > {log:q} 2>&1"
