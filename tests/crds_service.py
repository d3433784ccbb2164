"""A CRDS server on this machine: the protocol of the ``crds`` client, from a folder, with faults on demand."""

import contextlib
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from snakewebb.io.crds_server import encode


class CrdsService(ThreadingHTTPServer):
    """Serves the files of a CRDS cache.

    Attributes
    ----------
    faults : dict of str to list of str
        By file name or method, what happens to the next requests: ``404``, ``500``, ``truncated``, ``slow``, ``wrong``,
        ``garbage`` (not JSON), ``whole`` (no ranges), ``broken`` (connection closed without an answer); then all goes well.
    requests : list of (str, str or None)
        File or method, and the range asked for.
    """

    daemon_threads = True

    def __init__(self, cache):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cache = Path(cache)
        self.faults, self.requests = {}, []
        self.hidden = set()  # files that the server does not know
        self.slowness = 3.0

    @property
    def url(self):
        return f"http://localhost:{self.server_port}"

    def files(self):
        """Every file by name."""
        found = [*self.cache.glob("mappings/jwst/*"), *self.cache.glob("references/jwst/*/*")]
        return {path.name: path for path in found if path.is_file() and path.name not in self.hidden}

    def asked(self, name):
        """Number of requests for a file or of a method."""
        return sum(found == name for found, _ in self.requests)

    def fault(self, name):
        return self.faults[name].pop(0) if self.faults.get(name) else None

    # -- what the methods answer

    def get_server_info(self):
        context = sorted(path.name for path in self.cache.glob("mappings/jwst/*.pmap"))[-1]
        facts = {}
        for name, path in self.files().items():
            facts[name] = {"sha1sum": hashlib.sha1(path.read_bytes()).hexdigest(), "size": str(path.stat().st_size)}
        info = {
            "observatory": "jwst",
            "latest_context": context,
            "operational_context": context,
            "edit_context": context,
            "last_synced": "2026-01-01 00:00:00",
            "bad_files": "",
            "bad_files_list": [],
            "force_remote_mode": False,
            "crds_version": {"str": "13.0.0", "revision": ""},
            "mappings": sorted(name for name in facts if name.endswith("map")),
            "download_metadata": encode(facts),
        }
        for kind in ("mapping", "reference"):
            folder = f"{self.url}/unchecked_get/{kind}s/jwst/"
            info[f"{kind}_url"] = {
                "checked": {"jwst": folder.replace("unchecked_get", "get")},
                "unchecked": {"jwst": folder},
            }
        return info

    def get_mapping_names(self, context):
        number = context[5:9]
        names = [
            name for name in self.files() if name.endswith(f"_{number}.{name.rpartition('.')[2]}") and "map" in name
        ]
        if context not in names:
            raise LookupError(f"CrdsLookupError('Can&#39;t find file {context}')")
        return sorted(names)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, service = question["method"], self.server
        assert self.path.startswith(f"/json/{method}/")
        service.requests.append((method, None))
        fault = service.fault(method)
        if fault in ("404", "500"):
            return self.send_error(int(fault))
        answer = {"id": question["id"], "error": None, "result": None}
        try:
            answer["result"] = getattr(service, method)(*question["params"])
        except LookupError as error:
            answer["error"] = {"code": 500, "message": str(error), "name": "OtherError"}
        text = b"<html>busy</html>" if fault == "garbage" else json.dumps(answer).encode()
        return self._send(200, text, fault)

    def do_GET(self):
        name, service = self.path.rpartition("/")[2], self.server
        wanted = self.headers.get("Range")
        service.requests.append((name, wanted))
        fault = service.fault(name)
        if fault in ("404", "500"):
            return self.send_error(int(fault))
        if name not in service.files():
            return self.send_error(404)
        content = service.files()[name].read_bytes()
        if fault == "wrong":
            content = bytes(len(content))
        if wanted and fault != "whole":
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            return self._send(206, content[first:], fault, f"bytes {first}-{len(content) - 1}/{len(content)}")
        return self._send(200, content, fault)

    def _send(self, status, content, fault, place=None):
        if fault == "broken":
            return
        self.send_response(status)
        if place:
            self.send_header("Content-Range", place)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault in ("truncated", "slow"):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if fault == "truncated":
                return
            time.sleep(self.server.slowness)
            content = content[len(content) // 2 :]
        self.wfile.write(content)

    def handle(self):
        with contextlib.suppress(ConnectionError):  # the client went away
            super().handle()


@contextlib.contextmanager
def crds_service(cache):
    """A running server."""
    with CrdsService(cache) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


GAIN, MASK = "jwst_fgs_gain_0001.fits", "jwst_fgs_mask_0001.fits"
PARAMETERS = "jwst_fgs_pars-jumpstep_0001.asdf"


def small_cache(root, context="jwst_9001.pmap"):
    """A cache of a few files of FGS; references are any bytes."""
    from snakewebb.simulate.crds_cache import write_configuration
    from snakewebb.simulate.crds_mappings import write_instrument, write_pipeline
    from snakewebb.simulate.parameter_files import ParameterFile, write_parameters

    folder = root / "references" / "jwst" / "fgs"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate((GAIN, MASK)):
        (folder / name).write_bytes(bytes([number, 7, 250, 1]) * 75000)
    entry = ParameterFile("pars-jumpstep", "jwst.jump.jump_step.JumpStep", {"rejection_threshold": 7.5})
    write_parameters(folder / PARAMETERS, entry)
    rows = {"gain": {("GUIDER1",): GAIN}, "mask": {("GUIDER1",): MASK}, "pars-jumpstep": {("GUIDER1",): PARAMETERS}}
    keys = dict.fromkeys(rows, ("DETECTOR",))
    imap = write_instrument(root, "FGS", context[5:9], keys, rows, "2015-10-01T00:00:00")
    write_pipeline(root, context, {"FGS": imap})
    write_configuration(root, context)
    return root
