rule train:
    input:
        images=ancient(PLAN.input("images")),
        split=ancient(PLAN.input("split")),
        parent=ancient(PLAN.input("parent")),  # nothing for a model that is not trained on another
    output:
        checkpoint="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.safetensors",
        spec="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.spec.json",
        history="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.history.csv",
        timing="results/checkpoints/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.timing.json",
    log:
        "results/logs/train/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.log",
    benchmark:
        "results/benchmarks/train/{dataset}/{protocol}/{held_out}/seed{seed}/{model}-{digest}.tsv"
    priority: 1  # what a training holds up can only start after it
    conda:
        "../../envs/train.yaml"
    threads: PLAN.settings.threads  # one by default: two one-thread trainings side by side beat one on two threads
    resources:
        gpu=PLAN.gpus,  # 0 on the CPU: a job that asks for a GPU there would queue for ever
        mem_mb=lambda wildcards, attempt: attempt * of_step(PLAN.step(wildcards)).mem_mb,
        runtime=lambda wildcards, attempt: attempt * of_step(PLAN.step(wildcards)).runtime,  # minutes
    params:
        spec=PLAN.spec,
        device=PLAN.settings.device,
        jobs_per_gpu=PLAN.settings.jobs_per_gpu,
        save_every=PLAN.settings.save_every,
        parent=lambda wildcards, input: f"--parent {shlex.quote(input.parent)}" if input.parent else "",
    message:
        "Train {wildcards.model}-{wildcards.digest} on {wildcards.dataset}, {wildcards.protocol} {wildcards.held_out}, seed {wildcards.seed}"
    shell:
        "heldout train --spec {params.spec:q} --images {input.images:q} --split {input.split:q} {params.parent}"
        " --checkpoint {output.checkpoint:q} --device {params.device:q} --jobs-per-gpu {params.jobs_per_gpu}"
        " --save-every {params.save_every} > {log:q} 2>&1"
