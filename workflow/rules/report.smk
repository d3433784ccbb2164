# QA report: pictures and tables of each product; `--report report.html` collects them, report/<product>.html stands alone.


rule report:
    input:
        rates=lambda wildcards: [ancient(path) for path in rates_of(wildcards)],
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        alignment=corrections_of,
        residuals=residuals_of,
        sky=sky_of,
        i2d=ancient("stage3/{product}_i2d.fits"),
        i2d_record="stage3/{product}_i2d.json",
        catalog=ancient("stage3/{product}_cat.ecsv"),
        catalog_record="stage3/{product}_cat.json",
    output:
        pictures=report(
            directory("report/{product}"),
            patterns=["{picture}.png"],
            caption="../report/picture.rst",
            category="Products",
            subcategory="{product}",
            labels={"picture": "{picture}"},
        ),
        page=report(
            "report/{product}.html",
            caption="../report/page.rst",
            category="Summary",
            labels={"product": "{product}"},
        ),
        picture_list="report/{product}.json",
    log:
        "logs/report/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("report")
    resources:
        mem_mb=mem_mb_of("report"),
        runtime=runtime_of("report"),
        disk_mb=disk_mb_of("report"),
    params:
        truth=PLAN.configuration["truth"] or "",
        left_out=lambda wildcards, output: PLAN.left_out,
        notes=lambda wildcards, output: PLAN.notes,
        mode=PLAN.mode.name,
        context=lambda wildcards, output: PLAN.context,
    message:
        "report: {wildcards.product}"
    script:
        "../scripts/report.py"


# a pair is a product too, without a mosaic
ruleorder: report_pair > report


rule report_pair:
    input:
        rates=lambda wildcards: [ancient(path) for path in rates_of(wildcards)],
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        combined=ancient("stage3/{product}.fits"),
        record="stage3/{product}.json",
    output:
        pictures=report(
            directory("report/{product}"),
            patterns=["{picture}.png"],
            caption="../report/picture.rst",
            category="Products",
            subcategory="{product}",
            labels={"picture": "{picture}"},
        ),
        page=report(
            "report/{product}.html",
            caption="../report/page.rst",
            category="Summary",
            labels={"product": "{product}"},
        ),
    log:
        "logs/report_pair/{product}.log",
    wildcard_constraints:
        product=PAIR_PATTERN,
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("report_pair")
    resources:
        mem_mb=mem_mb_of("report_pair"),
        runtime=runtime_of("report_pair"),
        disk_mb=disk_mb_of("report_pair"),
    params:
        left_out=lambda wildcards, output: PLAN.left_out,
        notes=lambda wildcards, output: PLAN.notes,
        mode=PLAN.mode.name,
        context=lambda wildcards, output: PLAN.context,
    message:
        "report: {wildcards.product}"
    script:
        "../scripts/report_pair.py"


rule report_exposures:
    input:
        records=lambda wildcards: exposure_targets(),
        rates=lambda wildcards: [ancient(path) for path in slopes()],
    output:
        pictures=directory(f"report/{PLAN.mode.name}"),
        page=report(
            f"report/{PLAN.mode.name}.html",
            caption="../report/exposures.rst",
            category="Summary",
            labels={"product": PLAN.mode.title},
        ),
    log:
        "logs/report_exposures.log",
    localrule: True
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("report_exposures")
    resources:
        mem_mb=mem_mb_of("report_exposures"),
        runtime=runtime_of("report_exposures"),
        disk_mb=disk_mb_of("report_exposures"),
    params:
        left_out=lambda wildcards, output: PLAN.left_out,
        notes=lambda wildcards, output: PLAN.notes,
        mode=PLAN.mode.name,
        title=PLAN.mode.title,
        context=lambda wildcards, output: PLAN.context,
    message:
        "report: {params.title}"
    script:
        "../scripts/report_exposures.py"


rule report_programme:
    input:
        i2ds=lambda wildcards: [
            ancient(f"stage3/{product}_i2d.fits") for product in PLAN.associations
        ],
        i2d_records=lambda wildcards: [
            f"stage3/{product}_i2d.json" for product in PLAN.associations
        ],
        catalogs=lambda wildcards: [
            ancient(f"stage3/{product}_cat.ecsv") for product in PLAN.associations
        ],
        catalog_records=lambda wildcards: [
            f"stage3/{product}_cat.json" for product in PLAN.associations
        ],
        alignments=lambda wildcards: [
            f"stage3/{product}_alignment.ecsv" for product in aligned_products()
        ],
        multibands=lambda wildcards: [
            ancient(f"stage3/{product}_multiband.ecsv")
            for product in detection_images(PLAN)
        ],
        multiband_records=lambda wildcards: [
            f"stage3/{product}_multiband.json" for product in detection_images(PLAN)
        ],
        pictures=lambda wildcards: [
            ancient(f"report/{product}") for product in PLAN.associations
        ],
        # not ancient: what makes pages of products stale, a note as well, makes this page stale
        picture_lists=lambda wildcards: [
            f"report/{product}.json" for product in PLAN.associations
        ],
    output:
        pictures=report(
            directory("report/programme"),
            patterns=["{picture}.png"],
            caption="../report/picture.rst",
            category="Summary",
            labels={"picture": "{picture}"},
        ),
        page=report(
            "report/programme.html",
            caption="../report/programme.rst",
            category="Summary",
            labels={"product": "programme"},
        ),
    log:
        "logs/report_programme.log",
    localrule: True
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("report_programme")
    resources:
        mem_mb=mem_mb_of("report_programme"),
        runtime=runtime_of("report_programme"),
        disk_mb=disk_mb_of("report_programme"),
    params:
        targets=lambda wildcards: products_by_target(),
        products=lambda wildcards, output: list(PLAN.associations),
        aligned=lambda wildcards: aligned_products(),
        detections=lambda wildcards: detection_images(PLAN),
        pairs=lambda wildcards: combined_pairs(),
        left_out=lambda wildcards, output: PLAN.left_out,
        notes=lambda wildcards, output: PLAN.notes,
        mode=PLAN.mode.name,
        title=PLAN.mode.title,
        context=lambda wildcards, output: PLAN.context,
    message:
        "report: {params.title}"
    script:
        "../scripts/report_programme.py"
