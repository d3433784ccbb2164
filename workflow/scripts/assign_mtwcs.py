"""Positions of a moving target in a product's exposures: their headers -> table of positions and their mean."""

import math
from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.imaging.members import write_table
from snakewebb.io.column_table import ColumnTable
from snakewebb.io.fits import units_of
from snakewebb.io.sidecar import write_sidecar
from snakewebb.job import job
from snakewebb.plan.names import parse_exposure


def find_mean_position(cals, targets, record, *, work, circumstances, inputs=()):
    """Write where the target is in each exposure, and on average; the record last."""
    rows = [(parse_exposure(Path(cal).name).root, *_position(cal)) for cal in cals]
    table = ColumnTable.of_rows(rows, ("exposure", "mt_ra", "mt_dec"))
    outcomes = run_work(table, work, circumstances)
    write_table(targets, table)
    write_sidecar(
        record,
        files={},
        work=work,
        outcomes=outcomes,
        circumstances=circumstances,
        inputs=inputs,
        tables=[targets],
    )


def _position(path):
    """MT_RA and MT_DEC of a calibrated file, NaN where they are missing."""
    header = next(unit.header for unit in units_of(path) if unit.get("EXTNAME") == "SCI")
    values = (header.get(key) for key in ("MT_RA", "MT_DEC"))
    return [float(value) if isinstance(value, (int, float)) else math.nan for value in values]


if "snakemake" in globals():
    with job(snakemake.log[0]):
        find_mean_position(
            snakemake.input.cals,
            snakemake.output.targets,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=snakemake.input.cal_records,
        )
