# Stage 2 of the spectrometer: slopes to calibrated surface brightness; bad pixels, cube and spectrum of the single exposure.


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
        rate=slopes_for("spec2"),
        rate_record=slopes_record_for("spec2"),
        members=members_for("spec2"),
        member_records=member_records_for("spec2"),
        references=token_of("spec2"),
        mark=mark_for("stage2/{exposure}_cal.json"),
    output:
        result="stage2/{exposure}_cal.fits",
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
        members=member_paths_for("spec2"),
    message:
        "slopes to calibrated spectra: {wildcards.exposure}"
    script:
        "../scripts/slopes.py"


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
