"""Jobs of the tiny programme that run again from a rule on: written by hand."""

FROM_CATALOG = {"source_catalog": 1, "report": 1, "report_programme": 1}
FROM_RESAMPLE = {"resample": 1, **FROM_CATALOG}
FROM_OUTLIERS = {"outlier_detection": 1, **FROM_RESAMPLE}
FROM_SKY = {"skymatch": 1, **FROM_OUTLIERS}
FROM_ALIGNMENT = {"tweakreg": 1, **FROM_SKY}
FROM_SOURCES = {"find_sources": 4, **FROM_ALIGNMENT}
FROM_IMAGE2 = {"image2": 4, "resample_exposure": 4, **FROM_SOURCES}
FROM_DETECTOR1 = {"detector1": 4, **FROM_IMAGE2}
