rule score:
    input:
        images=ancient(PLAN.input("images")),
        split=ancient(PLAN.input("split")),
        checkpoint=ancient(PLAN.input("checkpoint")),  # nothing for a method that is fitted to the training images
        joined=ancient(PLAN.joined),  # the scores that a combination is made of
        weights=ancient(PLAN.input("weights")),
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
        gpu=PLAN.gpus_to_score,
        mem_mb=lambda wildcards, attempt: attempt * of_step(PLAN.step(wildcards)).mem_mb,
        runtime=lambda wildcards, attempt: attempt * of_step(PLAN.step(wildcards)).runtime,  # minutes
    params:
        spec=PLAN.spec,
        device=PLAN.device_to_score,
        jobs_per_gpu=PLAN.settings.jobs_per_gpu,
        memory=f"--memory {PLAN.settings.memory}" if PLAN.settings.memory else "",
        save_every=PLAN.settings.save_every,
        sources=lambda wildcards, input: PLAN.sources(input),
    message:
        "Score {wildcards.dataset}, {wildcards.protocol} {wildcards.held_out}, seed {wildcards.seed} with {wildcards.method}-{wildcards.digest}"
    shell:
        "heldout score --spec {params.spec:q} --images {input.images:q} --split {input.split:q} {params.sources}"
        " --scores {output.scores:q} --device {params.device:q} --jobs-per-gpu {params.jobs_per_gpu} {params.memory}"
        " --save-every {params.save_every} > {log:q} 2>&1"
