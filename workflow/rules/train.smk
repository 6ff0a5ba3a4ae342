rule train:
    input:
        unpack(WIRING.inputs("images", "split", "parent")),  # most models have no parent
    output:
        checkpoint="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.safetensors",
        spec="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.spec.json",
        history="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.history.csv",
        timing="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.timing.json",
    log:
        "results/logs/train/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.log",
    benchmark:
        "results/benchmarks/train/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.tsv"
    priority: 1  # scorings wait for trainings
    group:
        shared_job
    conda:
        "../../envs/train.yaml"
    threads: PLAN.settings.threads  # 1 by default: two trainings with one thread each are faster than one with two
    resources:
        gpu=WIRING.gpus,  # 0 on the CPU, where a request for a GPU would never be met
        mem_mb=WIRING.mem_mb,
        runtime=WIRING.runtime,  # minutes
    params:
        entries=WIRING.entries,
        options=WIRING.to_train,
    message:
        "Train {wildcards.model}-{wildcards.digest} on {params.entries}, {wildcards.protocol} {wildcards.held_out}, seed {wildcards.seed}"
    shell:
        "heldout train {params.options} --images {input.images:q} --split {input.split:q}"
        " --checkpoint {output.checkpoint:q} > {log:q} 2>&1"
