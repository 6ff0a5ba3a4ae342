rule train:
    input:
        images=ancient(WIRING.input("images")),
        split=ancient(WIRING.input("split")),
        parent=ancient(WIRING.input("parent")),  # [] for a model without a parent
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
    conda:
        "../../envs/train.yaml"
    threads: PLAN.settings.threads  # 1 by default: two trainings with one thread each are faster than one with two
    resources:
        gpu=WIRING.gpus,  # 0 on the CPU, where a request for a GPU would never be met
        mem_mb=WIRING.mem_mb,
        runtime=WIRING.runtime,  # minutes
    params:
        spec=WIRING.spec,
        entries=WIRING.entries,
        device=PLAN.settings.device,
        jobs_per_gpu=PLAN.settings.jobs_per_gpu,
        save_every=PLAN.settings.save_every,
        parent=lambda wildcards, input: f"--parent {shlex.quote(input.parent)}" if input.parent else "",
    message:
        "Train {wildcards.model}-{wildcards.digest} on {params.entries}, {wildcards.protocol} {wildcards.held_out}, seed {wildcards.seed}"
    shell:
        "heldout train --spec {params.spec:q} --images {input.images:q} --split {input.split:q} {params.parent}"
        " --checkpoint {output.checkpoint:q} --device {params.device:q} --jobs-per-gpu {params.jobs_per_gpu}"
        " --save-every {params.save_every} > {log:q} 2>&1"
