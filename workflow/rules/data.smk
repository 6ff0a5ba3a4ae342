# fetch -> prepare -> split. All inputs are ancient(): the digest in a file's name states its content.
rule fetch:
    output:
        "data/raw/{dataset}/fetched.json",
    log:
        "results/logs/fetch/{dataset}.log",
    benchmark:
        "results/benchmarks/fetch/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
        runtime=lambda wildcards, attempt: attempt * 60,  # minutes
    params:
        mirror=f"--mirror {shlex.quote(WIRING.mirror)}" if WIRING.mirror else "",
        folder=subpath(output[0], parent=True),
    message:
        "Fetch {wildcards.dataset}"
    shell:
        "heldout fetch {wildcards.dataset} --folder {params.folder:q} {params.mirror} > {log:q} 2>&1"


rule prepare:
    input:
        raw=ancient(WIRING.raw),
    output:
        images="data/prepared/{dataset}-{digest}.npy",
        labels="data/prepared/{dataset}-{digest}.labels.csv",
        spec="data/prepared/{dataset}-{digest}.spec.json",
    log:
        "results/logs/prepare/{dataset}-{digest}.log",
    benchmark:
        "results/benchmarks/prepare/{dataset}-{digest}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=WIRING.mem_mb,
        runtime=WIRING.runtime,  # minutes
    params:
        spec=WIRING.spec,
        raw=WIRING.raw_folder,
    message:
        "Prepare {wildcards.dataset} as one array"
    shell:
        "heldout prepare --spec {params.spec:q} --raw {params.raw:q}"
        " --images {output.images:q} --labels {output.labels:q} > {log:q} 2>&1"


rule split:
    input:
        unpack(WIRING.inputs("images")),
        labels=ancient(WIRING.labels),
        spec=ancient(WIRING.prepared_spec),
    output:
        "data/splits/{dataset}/{protocol}/{held_out}/seed{seed}-{digest}.json",
    log:
        "results/logs/split/{dataset}/{protocol}/{held_out}/seed{seed}-{digest}.log",
    benchmark:
        "results/benchmarks/split/{dataset}/{protocol}/{held_out}/seed{seed}-{digest}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=WIRING.mem_mb,
        runtime=WIRING.runtime,  # minutes
    params:
        spec=WIRING.spec,
        entries=WIRING.entries,
    message:
        "Split {params.entries}: {wildcards.protocol}, {wildcards.held_out}"
    shell:
        "heldout split --spec {params.spec:q} --images {input.images:q} --labels {input.labels:q}"
        " --manifest {output:q} > {log:q} 2>&1"
