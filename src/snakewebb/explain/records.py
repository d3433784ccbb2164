"""The record of a product, found from any of its files, and the records that it was made from."""

from dataclasses import dataclass
from pathlib import Path

from snakewebb.cache import file_hash, read_json
from snakewebb.errors import ConfigError

# products that share the record of another one, by suffix
_OF = {"rateints": "rate", "segm": "cat"}


@dataclass(frozen=True)
class Record:
    """The record of a product.

    Attributes
    ----------
    path : Path
    content : dict
    """

    path: Path
    content: dict

    @property
    def work(self):
        """What determines the product."""
        return self.content.get("work") or {}

    @property
    def origins(self):
        """Origin of parameters by step and name, of those that are not the step's own default."""
        return self.content.get("origins") or {}

    def parents(self):
        """Records that it was made from, by their path in its programme; those that were replaced since are left out."""
        made_from = self.content.get("inputs") or {}
        folder = next(
            (up for up in self.path.absolute().parents if any((up / name).exists() for name in made_from)), None
        )
        found = {}
        for name, sha1 in made_from.items():
            path = folder and folder / name
            if path and path.exists() and file_hash(path) == sha1:
                record = path.with_suffix(".json")
                content = read_json(record)
                if content is not None and "work" in content:
                    found[Path(name).with_suffix(".json").as_posix()] = Record(record, content)
        return found

    def ancestors(self):
        """All records that it was made from, directly or not, by path."""
        found, waiting = {}, [self]
        while waiting:
            for name, record in waiting.pop().parents().items():
                if name not in found:
                    found[name] = record
                    waiting.append(record)
        return found


def find_record(product):
    """The record of a product.

    Parameters
    ----------
    product : path-like
        Any file of it (FITS, table, folder of exposures), or its record.

    Returns
    -------
    Record

    Raises
    ------
    ConfigError
        If there is no such file, or no record of it.
    """
    path = Path(product)
    if not path.exists():
        raise ConfigError(
            f"{path}: there is no such file; give a product of stage1/, stage2/ or stage3/, or its record (.json)"
        )
    for candidate in _candidates(path):
        content = read_json(candidate)
        if isinstance(content, dict) and content.get("work"):
            return Record(candidate, content)
    expected = _candidates(path)[0]
    if path.suffix == ".json":
        raise ConfigError(f"{path}: not the record of a product: it has no 'work' that says how the product was made")
    raise ConfigError(
        f"{path}: there is no record of it ({expected} is missing or is not one); only what the workflow made has a record, "
        "not your own files or saved results of single steps"
    )


def _candidates(path):
    """Paths where the record of a file may be, the likeliest first."""
    if path.is_dir():
        return [path.with_name(f"{path.name}.json")]
    found = [path.with_suffix(".json")]
    stem, _, suffix = path.stem.rpartition("_")
    if suffix in _OF:
        found.insert(0, path.with_name(f"{stem}_{_OF[suffix]}.json"))
    if path.parent.name.endswith(("_crf", "_cubecrf")):
        found.insert(0, path.parent.with_name(f"{path.parent.name}.json"))
    return found
