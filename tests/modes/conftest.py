"""Programmes of tiny exposures, and Snakemake run on them as a user would."""

from small_programmes import cache, no_references, plan_of, programme

__all__ = ["cache", "no_references", "plan_of", "programme"]
