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
