# Tokens of reference files: what jobs depend on instead of the bytes, whose path and times differ between machines.
# The rules of this file may use the network, and are local ones: jobs that calibrate find the bytes in the cache, and stars in a file.


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


rule star_catalogue:
    output:
        stars="catalogues/{field}.ecsv",
    log:
        "logs/star_catalogue/{field}.log",
    localrule: True
    conda:
        "../../envs/conda.yaml"
    params:
        field=lambda wildcards: asdict(fields_by_name(PLAN)[wildcards.field][0]),
        product=lambda wildcards, output: fields_by_name(PLAN)[wildcards.field][1],
        catalogue_server=lambda wildcards, output: PLAN.configuration[
            "catalogue_server"
        ],
    message:
        "stars around a product: {wildcards.field}"
    script:
        "../scripts/star_catalogue.py"
