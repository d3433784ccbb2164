"""The observatory's service of star catalogues on this machine, with faults on demand."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import numpy as np

# as the service answers: a comment, names, values that may be empty
HEAD = "# GAIADR3 at gsss.stsci.edu\nobjID,ra,dec,raErr,decErr,epoch,pmra,pmdec,pmraErr,pmdecErr,mag,plx\n"


class StarService(ThreadingHTTPServer):
    """Serves the stars of a table around a position, moved to the epoch that is asked for.

    Attributes
    ----------
    stars : dict of str to ndarray
        ra, dec (degrees at `epoch`), pmra, pmdec (mas/yr), mag.
    faults : list of str
        What happens to the next requests: a number of HTTP, ``html``, ``truncated`` (in a row), ``broken`` (no answer).
    queries : list of dict
    """

    daemon_threads = True

    def __init__(self, stars, epoch):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stars, self.epoch = stars, epoch
        self.faults, self.queries = [], []

    @property
    def url(self):
        return f"http://localhost:{self.server_port}"

    def answer(self, query):
        """Text of the answer."""
        ra, dec, radius, epoch = (float(query[key]) for key in ("RA", "DEC", "SR", "EPOCH"))
        years = (epoch - self.epoch) / 3.6e6
        stars = dict(self.stars)
        stars["ra"] = (stars["ra"] + years * stars["pmra"] / np.cos(np.radians(stars["dec"]))) % 360
        stars["dec"] = stars["dec"] + years * stars["pmdec"]
        east = ((stars["ra"] - ra + 180) % 360 - 180) * np.cos(np.radians(dec))
        near = np.hypot(east, stars["dec"] - dec) <= radius
        if not near.any():
            return "No data records found\n"
        rows = zip(*(stars[name][near].tolist() for name in ("ra", "dec", "pmra", "pmdec", "mag")), strict=True)
        lines = [
            f"{n},{a:.12f},{d:.12f},0.1,0.1,{epoch},{e!r},{f!r},0.1,0.1,{m!r},"
            for n, (a, d, e, f, m) in enumerate(rows)
        ]
        return HEAD + "\n".join([*lines, f"{len(lines)},{ra},{dec},9,9,{epoch},,,,,21.0,"]) + "\n"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        service, parts = self.server, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        service.queries.append(query)
        fault = service.faults.pop(0) if service.faults else ""
        if fault == "broken":
            return
        if fault.isdigit() or parts.path != "/vo/CatalogSearch.aspx":
            self.send_error(int(fault or 404))
            return
        text = "<html>busy</html>\n" if fault == "html" else service.answer(query)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text[: -len("9,9,9,21.0,")].encode() if fault == "truncated" else text.encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def star_service(stars, epoch=2016.0):
    """A running `StarService`."""
    with StarService(stars, epoch) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
