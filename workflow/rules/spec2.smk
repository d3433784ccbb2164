# Stage 2 of the spectrometer: slopes to calibrated surface brightness; bad pixels, cube and spectrum of the single exposure.


from snakewebb.plan.stage2_work import members_of


def member_roots(wildcards):
    """Backgrounds and imprints of an exposure."""
    members = members_of(PLAN, wildcards.exposure)
    return sorted({root for roots in members.values() for root in roots})


def slopes_of(root):
    """Slope image of an exposure: made by rule detector1, or the user's own."""
    start = PLAN.exposures[root]
    return start.path if start.level == "rate" else f"stage1/{root}_rate.fits"


def slopes_record(root):
    """Record of the slope image, none for the user's own."""
    return [] if PLAN.exposures[root].level == "rate" else [f"stage1/{root}_rate.json"]


def combined(root):
    """What an exposure gives to cubes: the calibrated file, with its bad pixels replaced if that is on."""
    if PLAN.is_on("pixel_replace", root):
        return f"stage2/{root}_pixel_replace.fits"
    return calibrated(root)


def combined_record(root):
    """The record of what an exposure gives to cubes, none for the user's own file."""
    if PLAN.is_on("pixel_replace", root):
        return [f"stage2/{root}_pixel_replace.json"]
    return calibrated_record(root)


rule spec2:
    input:
        rate=rate_of,
        rate_record=rate_record_of,
        members=lambda wildcards: [
            ancient(slopes_of(root)) for root in member_roots(wildcards)
        ],
        member_records=lambda wildcards: [
            record
            for root in member_roots(wildcards)
            for record in slopes_record(root)
        ],
        references=token_of("spec2"),
        mark=mark_for("stage2/{exposure}_cal.json"),
    output:
        cal="stage2/{exposure}_cal.fits",
        record="stage2/{exposure}_cal.json",
    log:
        "logs/spec2/{exposure}.log",
    benchmark:
        "benchmarks/spec2/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("spec2")
    resources:
        mem_mb=mem_mb_of("spec2"),
        runtime=runtime_of("spec2"),
        disk_mb=disk_mb_of("spec2"),
    params:
        work=work_of("spec2"),
        circumstances=circumstances_of("spec2"),
        members=lambda wildcards, output: {
            role: [slopes_of(root) for root in roots]
            for role, roots in members_of(PLAN, wildcards.exposure).items()
        },
    message:
        "slopes to calibrated spectra: {wildcards.exposure}"
    script:
        "../scripts/spec2.py"


rule pixel_replace:
    input:
        cal=lambda wildcards: ancient(calibrated(wildcards.exposure)),
        cal_record=lambda wildcards: calibrated_record(wildcards.exposure),
        mark=mark_for("stage2/{exposure}_pixel_replace.json"),
    output:
        replaced="stage2/{exposure}_pixel_replace.fits",
        record="stage2/{exposure}_pixel_replace.json",
    log:
        "logs/pixel_replace/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("pixel_replace")
    resources:
        mem_mb=mem_mb_of("pixel_replace"),
        runtime=runtime_of("pixel_replace"),
        disk_mb=disk_mb_of("pixel_replace"),
    params:
        work=work_of("pixel_replace"),
        circumstances=circumstances_of("pixel_replace"),
    message:
        "bad pixels replaced: {wildcards.exposure}"
    script:
        "../scripts/pixel_replace.py"


rule cube_build_exposure:
    input:
        cals=lambda wildcards: [ancient(combined(wildcards.exposure))],
        cal_records=lambda wildcards: combined_record(wildcards.exposure),
        references=token_of("cube_build_exposure"),
        mark=mark_for("stage2/{exposure}_s3d.json"),
    output:
        s3d="stage2/{exposure}_s3d.fits",
        record="stage2/{exposure}_s3d.json",
    log:
        "logs/cube_build_exposure/{exposure}.log",
    benchmark:
        "benchmarks/cube_build_exposure/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("cube_build_exposure")
    resources:
        mem_mb=mem_mb_of("cube_build_exposure"),
        runtime=runtime_of("cube_build_exposure"),
        disk_mb=disk_mb_of("cube_build_exposure"),
    params:
        work=work_of("cube_build_exposure"),
        circumstances=circumstances_of("cube_build_exposure"),
    message:
        "cube of the exposure: {wildcards.exposure}"
    script:
        "../scripts/cube_build.py"


rule extract_1d_exposure:
    input:
        s3d=ancient("stage2/{exposure}_s3d.fits"),
        s3d_record=["stage2/{exposure}_s3d.json"],
        references=token_of("extract_1d_exposure"),
        mark=mark_for("stage2/{exposure}_x1d.json"),
    output:
        x1d="stage2/{exposure}_x1d.fits",
        record="stage2/{exposure}_x1d.json",
    log:
        "logs/extract_1d_exposure/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("extract_1d_exposure")
    resources:
        mem_mb=mem_mb_of("extract_1d_exposure"),
        runtime=runtime_of("extract_1d_exposure"),
        disk_mb=disk_mb_of("extract_1d_exposure"),
    params:
        work=work_of("extract_1d_exposure"),
        circumstances=circumstances_of("extract_1d_exposure"),
    message:
        "spectrum of the exposure: {wildcards.exposure}"
    script:
        "../scripts/extract_1d.py"
