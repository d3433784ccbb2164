"""scipy's k-d tree by itself."""

import subprocess
import sys

CODE = """
import sys
import numpy as np
from snakewebb.imaging.nearest import cKDTree
points = np.random.default_rng(1).random((200, 2))
tree = cKDTree(points)
alone = tree.query(points + 0.01, k=3), "scipy.spatial" in sys.modules
import scipy.spatial
assert scipy.spatial.cKDTree is cKDTree and isinstance(scipy.spatial.KDTree(points), cKDTree)
same = scipy.spatial.KDTree(points).query(points + 0.01, k=3)
print(alone[1], all((one == other).all() for one, other in zip(alone[0], same)), tree.sparse_distance_matrix(tree, 0.1).nnz > 200)
"""


def test_the_tree_is_that_of_scipy_without_its_other_modules():
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert result.stdout.split() == ["False", "True", "True"], result.stderr
