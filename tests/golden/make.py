"""Write the golden file of the present version of a step: ``python tests/golden/make.py STEP``.

An existing file is never overwritten: where the numbers of a step change, its version is bumped.
"""

import sys
import tempfile

from golden_cases import CASES
from golden_files import FOLDER, save

from snakewebb.steps import find_step


def main(steps, folder=FOLDER):
    """Write the files of the steps named."""
    if not steps or set(steps) - set(CASES):
        sys.exit(f"usage: python tests/golden/make.py STEP ...; steps: {', '.join(CASES)}")
    for step in steps:
        with tempfile.TemporaryDirectory() as scratch:
            results = CASES[step](scratch)
        try:
            print(save(step, find_step(step.partition(".")[0]).contract.version, results, folder))
        except FileExistsError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
