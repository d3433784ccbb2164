# What is combined to each product, as the archive writes it down.


rule association:
    input:
        mark=mark_for("stage3/{product}_asn.json"),
    output:
        asn="stage3/{product}_asn.json",
    log:
        "logs/association/{product}.log",
    localrule: True
    conda:
        "../../envs/conda.yaml"
    params:
        association=lambda wildcards: PLAN.association(wildcards.product).as_json(),
    message:
        "association: {wildcards.product}"
    script:
        "../scripts/association.py"
