# Tokens of reference files: what jobs depend on instead of the bytes, whose path and times differ between machines.
# The only rule that may use the network, and a local one: jobs that calibrate find the bytes in the cache.


rule references:
    output:
        token="references/{set}.json",
    log:
        "logs/references/{set}.log",
    localrule: True
    conda:
        "../../envs/conda.yaml"
    threads: 1024  # all there are: sets share files, and side by side each job would fetch them
    params:
        names=lambda wildcards: PLAN.reference_sets[wildcards.set],
        crds_path=lambda wildcards, output: PLAN.crds_path,
        crds_server=lambda wildcards, output: PLAN.configuration["crds_server"],
    message:
        "reference files: {params.names}"
    script:
        "../scripts/references.py"
