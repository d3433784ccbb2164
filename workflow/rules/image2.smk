# Stage 2: slopes, less those of dedicated backgrounds or of other dithers, to calibrated surface brightness, and a resampled image of the single exposure.


rule bkg_subtract:
    input:
        rate=slopes_for("bkg_subtract"),
        rate_record=slopes_record_for("bkg_subtract"),
        members=members_for("bkg_subtract"),
        member_records=member_records_for("bkg_subtract"),
        mark=mark_for("stage2/{exposure}_bsub.json"),
    output:
        result="stage2/{exposure}_bsub.fits",
        record="stage2/{exposure}_bsub.json",
    log:
        "logs/bkg_subtract/{exposure}.log",
    benchmark:
        "benchmarks/bkg_subtract/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("bkg_subtract")
    resources:
        mem_mb=mem_mb_of("bkg_subtract"),
        runtime=runtime_of("bkg_subtract"),
        disk_mb=disk_mb_of("bkg_subtract"),
    params:
        work=work_of("bkg_subtract"),
        circumstances=circumstances_of("bkg_subtract"),
        members=member_paths_for("bkg_subtract"),
    message:
        "background subtracted: {wildcards.exposure}"
    script:
        "../scripts/slopes.py"


rule dither_background:
    input:
        rate=slopes_for("dither_background"),
        rate_record=slopes_record_for("dither_background"),
        members=members_for("dither_background"),
        member_records=member_records_for("dither_background"),
        mark=mark_for("stage2/{exposure}_dbsub.json"),
    output:
        result="stage2/{exposure}_dbsub.fits",
        record="stage2/{exposure}_dbsub.json",
    log:
        "logs/dither_background/{exposure}.log",
    benchmark:
        "benchmarks/dither_background/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("dither_background")
    resources:
        mem_mb=mem_mb_of("dither_background"),
        runtime=runtime_of("dither_background"),
        disk_mb=disk_mb_of("dither_background"),
    params:
        work=work_of("dither_background"),
        circumstances=circumstances_of("dither_background"),
        members=member_paths_for("dither_background"),
    message:
        "background of the other dithers subtracted: {wildcards.exposure}"
    script:
        "../scripts/slopes.py"


rule image2:
    input:
        rate=slopes_for("image2"),
        rate_record=slopes_record_for("image2"),
        references=token_of("image2"),
        mark=mark_for("stage2/{exposure}_cal.json"),
    output:
        cal="stage2/{exposure}_cal.fits",
        record="stage2/{exposure}_cal.json",
    log:
        "logs/image2/{exposure}.log",
    benchmark:
        "benchmarks/image2/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("image2")
    resources:
        mem_mb=mem_mb_of("image2"),
        runtime=runtime_of("image2"),
        disk_mb=disk_mb_of("image2"),
    params:
        work=work_of("image2"),
        circumstances=circumstances_of("image2"),
    message:
        "slopes to calibrated image: {wildcards.exposure}"
    script:
        "../scripts/image2.py"


rule resample_exposure:
    input:
        cal=lambda wildcards: ancient(calibrated(wildcards.exposure)),
        cal_record=lambda wildcards: calibrated_record(wildcards.exposure),
        mark=mark_for("stage2/{exposure}_i2d.json"),
    output:
        i2d="stage2/{exposure}_i2d.fits",
        record="stage2/{exposure}_i2d.json",
    log:
        "logs/resample_exposure/{exposure}.log",
    benchmark:
        "benchmarks/resample_exposure/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("resample_exposure")
    resources:
        mem_mb=mem_mb_of("resample_exposure"),
        runtime=runtime_of("resample_exposure"),
        disk_mb=disk_mb_of("resample_exposure"),
    params:
        work=work_of("resample_exposure"),
        circumstances=circumstances_of("resample_exposure"),
    message:
        "resampled image: {wildcards.exposure}"
    script:
        "../scripts/resample_exposure.py"
