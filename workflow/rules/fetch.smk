# Files of the archive and of CRDS: the only part that uses the network. Asked for by name: snakemake --profile <mode> fetch


rule fetch:
    log:
        "logs/fetch.log",
    localrule: True
    conda:
        "../../envs/conda.yaml"
    params:
        configuration=config,
        config_file="config.yaml" if OWN_RUN else None,
        repository=str(Path(HERE).resolve()),
    message:
        "files of the archive, mappings and reference files of CRDS"
    script:
        "../scripts/fetch.py"
