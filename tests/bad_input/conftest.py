"""Small exposures of every instrument, and programmes of them."""

from small_exposures import exposure, reference_paths
from small_programmes import cache, no_references, plan_of, programme

__all__ = ["cache", "exposure", "no_references", "plan_of", "programme", "reference_paths"]
