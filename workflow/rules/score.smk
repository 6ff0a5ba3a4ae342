rule score:
    input:
        images=ancient(WIRING.input("images")),
        split=ancient(WIRING.input("split")),
        checkpoint=ancient(WIRING.input("checkpoint")),  # [] for a method that is fitted to the training images
        joined=ancient(WIRING.joined),  # the score files that a combination reads
        weights=ancient(WIRING.input("weights")),
    output:
        scores="results/scores/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.parquet",
        spec="results/scores/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.spec.json",
        timing="results/scores/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.timing.json",
    log:
        "results/logs/score/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.log",
    benchmark:
        "results/benchmarks/score/{dataset}/{protocol}/{held_out}/seed{seed}/{method}-{digest}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: PLAN.settings.threads
    resources:
        gpu=WIRING.gpus_to_score,
        mem_mb=WIRING.mem_mb,
        runtime=WIRING.runtime,  # minutes
    params:
        spec=WIRING.spec,
        entries=WIRING.entries,
        device=WIRING.device_to_score,
        jobs_per_gpu=PLAN.settings.jobs_per_gpu,
        memory=f"--memory {PLAN.settings.memory}" if PLAN.settings.memory else "",
        save_every=PLAN.settings.save_every,
        sources=WIRING.sources,
    message:
        "Score {params.entries}, {wildcards.protocol} {wildcards.held_out}, seed {wildcards.seed} with {wildcards.method}-{wildcards.digest}"
    shell:
        "heldout score --spec {params.spec:q} --images {input.images:q} --split {input.split:q} {params.sources}"
        " --scores {output.scores:q} --device {params.device:q} --jobs-per-gpu {params.jobs_per_gpu} {params.memory}"
        " --save-every {params.save_every} > {log:q} 2>&1"
