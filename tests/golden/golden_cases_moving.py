"""Golden cases of moving targets."""

import numpy as np
from golden_input import plane_wcs

from snakewebb.imaging.assign_mtwcs import Motion
from snakewebb.io.column_table import ColumnTable
from snakewebb.steps import find_step


def assign_mtwcs(folder):
    wcs = plane_wcs((24, 32), bend=0.001)
    x, y = np.meshgrid(np.linspace(0, 31, 4), np.linspace(0, 23, 4))
    results = {}
    for variant, parameters in (("default", {}), ("jwst", {"compatibility": "jwst"})):
        table = ColumnTable(
            {"exposure": ["a", "b", "c"], "mt_ra": [80.21, 80.25, 80.26], "mt_dec": [-69.51, -69.5, -69.485]}
        )
        assert find_step("assign_mtwcs")(table, None, **parameters).state == "COMPLETE"
        results[f"{variant}_mean"] = np.array([table["mt_avra"], table["mt_avdec"]])
        # arcsec from the mean position
        for row in table:
            ra, dec = Motion.of_row(row).tangent(wcs).pixel_to_sky(x, y)
            offsets = np.stack([ra - row["mt_avra"], dec - row["mt_avdec"]]) * 3600
            results[f"{variant}_{row['exposure']}"] = offsets
    return results


CASES = {"assign_mtwcs": assign_mtwcs}
