# Tokens of reference files: what jobs depend on instead of the bytes, whose path and times differ between machines.


localrules:
    references,


rule references:
    output:
        token="references/{set}.json",
    log:
        "logs/references/{set}.log",
    conda:
        "../../envs/conda.yaml"
    params:
        names=lambda wildcards: PLAN.reference_sets[wildcards.set],
        crds_path=lambda wildcards, output: PLAN.crds_path,
    message:
        "reference files: {params.names}"
    script:
        "../scripts/references.py"
