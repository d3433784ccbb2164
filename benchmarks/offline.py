"""Importing this first keeps the observatory's pipeline from looking for references: benchmarks give it theirs."""

import os

os.environ.setdefault("CRDS_SERVER_URL", "https://jwst-serverless-mode.stsci.edu")
os.environ.setdefault("CRDS_PATH", "/nonexistent")
os.environ.setdefault("CRDS_CONTEXT", "jwst_9999.pmap")
os.environ.setdefault("STPIPE_DISABLE_CRDS_STEPPARS", "true")
