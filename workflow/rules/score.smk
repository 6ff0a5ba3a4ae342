rule score:
    input:
        unpack(WIRING.inputs("images", "split", "checkpoint", "joined", "weights")),  # most scorings have one of the last three
    output:
        scores="results/scores/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.parquet",
        spec="results/scores/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.spec.json",
        timing="results/scores/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.timing.json",
    log:
        "results/logs/score/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.log",
    benchmark:
        "results/benchmarks/score/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.tsv"
    group:
        shared_job
    conda:
        "../../envs/train.yaml"
    threads: PLAN.settings.threads
    resources:
        gpu=WIRING.gpus_to_score,
        mem_mb=WIRING.mem_mb,
        runtime=WIRING.runtime,  # minutes
    params:
        entries=WIRING.entries,
        options=WIRING.to_score,
    message:
        "Score {params.entries}, {wildcards.protocol} {wildcards.held_out}, seed {wildcards.seed} with {wildcards.method}-{wildcards.digest}"
    shell:
        "heldout score {params.options} --images {input.images:q} --split {input.split:q}"
        " --scores {output.scores:q} > {log:q} 2>&1"
