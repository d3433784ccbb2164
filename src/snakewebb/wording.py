"""Numbers and sentences as people read them."""


def size_text(size):
    """A number of bytes; ``None`` is not known."""
    if size is None:
        return "size not known"
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def counted(number, one, more):
    """A number with its noun."""
    return f"{number} {one if number == 1 else more}"


def fetched_later(what, folder, server):
    """What a plan says of files that it lacks and that a run is going to fetch."""
    return f"{what}: not in {folder}, fetched from {server} when the plan is run"


def missing_row(file, wanted, columns):
    """What a message says of a table that has no row for what is wanted, with what it has instead.

    Parameters
    ----------
    file : str
    wanted : dict of str to str
        The value of each keyword that chooses the row.
    columns : dict of str to sequence of str
        By the same keywords, the value in each row.
    """
    rows = list(zip(*(columns[key] for key in wanted), strict=True))
    if not rows:
        return f"{file} has no rows"
    agreed = []
    for place, (key, value) in enumerate(wanted.items()):
        matching = [row for row in rows if row[place] == value]
        if not matching:
            break
        rows = matching
        agreed.append(f"{key} {value}")
    known = ", ".join(dict.fromkeys(str(row[place]) for row in rows))
    condition = f" with {', '.join(agreed)}" if agreed else ""
    missing = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return f"{file} has no row for {missing}; for {key}{condition} it has {known}"
