"""A server that answers as the archive does, and as servers in trouble do."""

import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
from astropy.io import fits

TOKEN = "0123456789abcdef0123456789abcdef"  # of the only user that the server knows

# the shapes of the Portal's answers: names and types of fields, paging, columns of the filters
OBSERVATION_FIELDS = {
    "intentType": "string",
    "obs_collection": "string",
    "instrument_name": "string",
    "filters": "string",
    "obs_id": "string",
    "proposal_id": "string",
    "calib_level": "int",
    "s_ra": "float",
    "dataRights": "string",
    "obsid": "string",
}
PRODUCT_FIELDS = {
    "obsID": "string",
    "obs_collection": "string",
    "obs_id": "string",
    "dataURI": "string",
    "productType": "string",
    "productSubGroupDescription": "string",
    "productFilename": "string",
    "size": "int",
    "parent_obsid": "string",
    "dataRights": "string",
    "calib_level": "int",
    "filters": "string",
}
COLUMNS = {
    "obs_collection": {"text": "Mission", "separator": ";", "vot.datatype": "char"},
    "proposal_id": {"text": "Proposal ID", "vot.datatype": "char"},
    "calib_level": {"text": "Calibration Level", "vot.datatype": "int"},
}


def exposure_bytes(*, checksum=False, seed=1, **keywords):
    """A small exposure as the archive would send it."""
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "INSTRUME": "NIRCAM",
            "DETECTOR": "NRCALONG",
            "EXP_TYPE": "NRC_IMAGE",
            "FILTER": "F444W",
            "PUPIL": "CLEAR",
            "DATE-OBS": "2026-01-02",
            "TIME-OBS": "03:04:05.000",
            "DATE": "2026-02-03T04:05:06",
            **keywords,
        }
    )
    data = np.random.default_rng(seed).integers(0, 60000, (1, 2, 64, 64), dtype=np.uint16)
    stream = io.BytesIO()
    fits.HDUList([primary, fits.ImageHDU(data, name="SCI")]).writeto(stream, checksum=checksum)
    return stream.getvalue()


class FakeArchive:
    """State of the server: what it has, what it does wrong, what it was asked.

    ``trouble[path or file name]`` is a list of words, one used up by each request: ``500`` and other codes, ``broken`` (the connection
    ends at once), ``cut`` (half way), ``silence`` (no answer), ``hang`` (none from the hundredth byte on), ``drip`` (a byte now and
    then), ``html``, ``longer`` (other content, other size), ``flip`` (a bit), ``no length``, ``no ranges``, ``no ranges cut``,
    ``redirect`` (to the public copy, by another host's name), ``ok``.
    """

    def __init__(self):
        self.files, self.exclusive, self.in_cloud = {}, set(), set()
        self.observations, self.products = [], []
        self.trouble, self.requests = {}, []
        self.page_size = 50000
        self.etag = '"one"'

    def add(self, root, suffix="uncal", *, filters="F444W", instrument="NIRCAM/IMAGE", exclusive=False, content=None):
        """An exposure of an observation of its own; returns its file name."""
        name = f"{root}_{suffix}.fits"
        self.files[name] = exposure_bytes() if content is None else content
        rights = "EXCLUSIVE_ACCESS" if exclusive else "PUBLIC"
        if exclusive:
            self.exclusive.add(name)
        obsid = next((o["obsid"] for o in self.observations if o["obs_id"] == root), 87600000 + len(self.observations))
        if all(observation["obs_id"] != root for observation in self.observations):
            self.observations.append(
                {
                    "intentType": "science",
                    "obs_collection": "JWST",
                    "instrument_name": instrument,
                    "filters": filters,
                    "obs_id": root,
                    "proposal_id": root[2:7].lstrip("0"),
                    "calib_level": 2,
                    "s_ra": 274.7,
                    "dataRights": rights,
                    "obsid": obsid,
                    "_selected_": None,
                }
            )
        self.list_product(name, obsid, filters=filters, rights=rights)
        return name

    def list_product(self, name, obsid, *, filters="F444W", rights="PUBLIC", size=None):
        """A line in the list of products."""
        self.products.append(
            {
                "obsID": obsid,
                "obs_collection": "JWST",
                "obs_id": name.rpartition("_")[0],
                "dataURI": f"mast:JWST/product/{name}",
                "productType": "SCIENCE",
                "productSubGroupDescription": name.rpartition("_")[2].partition(".")[0].upper(),
                "productFilename": name,
                "size": len(self.files.get(name, b"")) if size is None else size,
                "parent_obsid": obsid,
                "dataRights": rights,
                "calib_level": 1,
                "filters": filters,
                "_selected_": None,
            }
        )

    def asked(self, part):
        """Requests whose address contains something."""
        return [request for request in self.requests if part in request["path"]]

    def next_trouble(self, *keys):
        for key in keys:
            if self.trouble.get(key):
                return self.trouble[key].pop(0)
        return "ok"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    @property
    def archive(self):
        return self.server.archive

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        path = urlsplit(self.path).path
        self.archive.requests.append({"path": path, "headers": dict(self.headers), "body": unquote(body)})
        trouble = self.archive.next_trouble(path)
        if trouble != "ok":
            return self._misbehave(trouble, b"{}")
        if path == "/portal/Mashup/Mashup.asmx/columnsconfig":
            return self._json(COLUMNS)
        assert path == "/api/v0/invoke"
        request = json.loads(unquote(body.removeprefix("request=")))
        if request["service"] == "Mast.Caom.Filtered":
            rows = self.archive.observations
            for part in request["params"]["filters"]:
                rows = [row for row in rows if str(row[part["paramName"]]) in part["values"]]
            return self._page(rows, OBSERVATION_FIELDS, request)
        if request["service"] == "Mast.Caom.Products":
            wanted = request["params"]["obsid"].split(",")
            rows = [row for row in self.archive.products if str(row["parent_obsid"]) in wanted]
            return self._page(rows, PRODUCT_FIELDS, request)
        return self._json({"status": "ERROR", "msg": f"unknown service {request['service']}"})

    def _page(self, rows, fields, request):
        if self.archive.trouble.get("executing"):
            self.archive.trouble["executing"].pop()
            return self._json({"status": "EXECUTING", "msg": "", "data": [], "fields": []})
        if "error" in self.archive.trouble:
            return self._json({"status": "ERROR", "msg": self.archive.trouble["error"], "data": [], "fields": []})
        size = min(self.archive.page_size, request["pagesize"])
        page = request["page"]
        part = rows[size * (page - 1) : size * page]
        fields = [{"name": name, "type": kind} for name, kind in {**fields, "_selected_": "boolean"}.items()]
        paging = {
            "page": page,
            "pageSize": size,
            "pagesFiltered": max(1, -(-len(rows) // size)),
            "rows": len(part),
            "rowsFiltered": len(rows),
            "rowsTotal": len(rows),
        }
        return self._json({"status": "COMPLETE", "msg": "", "data": part, "fields": fields, "paging": paging})

    def do_GET(self):
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.archive.requests.append({"path": unquote(self.path), "headers": dict(self.headers)})
        if parts.path == "/whoami":
            known = self.headers.get("Authorization") == f"token {TOKEN}"
            return self._json({"anon": not known, "attrib": {"display_name": "A. User"} if known else {}})
        if parts.path == "/api/v0.1/path_lookup/":
            answer = {}
            for uri in query["uri"]:
                name = uri.rpartition("/")[2]
                there = name in self.archive.in_cloud
                path = f"/jwst/public/{name[:7]}/{name[:13]}/{name}" if there else None
                answer[uri] = {"status_code": 200 if there else 404, "path": path}
            return self._json(answer)
        if parts.path == "/api/v0.1/Download/file":
            name = query["uri"][0].rpartition("/")[2]
            if name in self.archive.exclusive and self.headers.get("Authorization") != f"token {TOKEN}":
                return self._plain(401, b'{"message": "Not authorized"}')
            return self._file(name, name)
        if parts.path.startswith("/jwst/public/"):
            name = parts.path.rpartition("/")[2]
            if name not in self.archive.in_cloud:
                return self._plain(403, b"<Error><Code>AccessDenied</Code></Error>")
            return self._file(name, f"cloud {name}")
        return self._plain(404, b"not here")

    def _file(self, name, key):
        content = self.archive.files.get(name)
        trouble = self.archive.next_trouble(key)
        if content is None:
            return self._plain(404, b"no such file")
        return self._misbehave(trouble, content)

    def _misbehave(self, trouble, content):
        if trouble.isdigit():
            return self._plain(
                int(trouble), b"<html>in trouble</html>", {"Retry-After": "0"} if trouble == "429" else {}
            )
        if trouble == "broken":
            self.close_connection = True
            return None
        if trouble == "silence":
            time.sleep(1.5)
            self.close_connection = True
            return None
        if trouble == "redirect":
            place = f"http://localhost:{self.server.server_port}/jwst/public/{self.path.rpartition('/')[2]}"
            return self._plain(302, b"", {"Location": place})
        if trouble == "html":
            return self._plain(200, b"<html><body>Please log in to the network</body></html>")
        if trouble == "longer":
            content = content + b"\0" * 2880
        if trouble == "flip":
            content = content[:-3000] + bytes([content[-3000] ^ 1]) + content[-2999:]
        start = 0
        asked = self.headers.get("Range")
        if (
            asked
            and not trouble.startswith("no ranges")
            and self.headers.get("If-Range", self.archive.etag) == self.archive.etag
        ):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if trouble == "no length":
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.archive.etag)
        self.end_headers()
        if trouble.endswith("cut"):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif trouble == "hang":
            self.wfile.write(body[:100])
            self.wfile.flush()
            time.sleep(1.5)
            self.close_connection = True
        elif trouble == "drip":
            self.close_connection = True
            for byte in body[:50]:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.1)
        else:
            self.wfile.write(body)
        return None

    def _json(self, content):
        self._plain(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _plain(self, code, body, headers=None):
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is no error of the server."""


@pytest.fixture
def archive(monkeypatch):
    """The archive, its public copy too, at the addresses that the package uses."""
    state = FakeArchive()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.archive = state
    state.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("SNAKEWEBB_ARCHIVE", f"http://{state.host}")
    monkeypatch.setenv("SNAKEWEBB_CLOUD", f"http://{state.host}")
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def programme(archive):
    """Three exposures of programme 2739 in two filters, and what else such a programme has."""
    archive.add("jw02739001001_02105_00001_nrca1", filters="F115W")
    archive.add("jw02739001001_02105_00001_nrcalong")
    archive.add("jw02739002001_02105_00001_nrcalong", content=exposure_bytes(checksum=True, seed=2))
    archive.add("jw02739001001_02105_00001_nrcalong", "rate")
    archive.add("jw02739001001_gs-fg_2022272151123", filters="F444W")
    mosaic = {
        **archive.observations[0],
        "obs_id": "jw02739-o001_t001_nircam_clear-f115w",
        "calib_level": 3,
        "obsid": 87700000,
    }
    planned = {**archive.observations[0], "obs_id": "jw02739009001_xx", "calib_level": -1, "obsid": 87800000}
    archive.observations += [mosaic, planned]
    # a mosaic lists the raw files of its members again, and its own products
    archive.list_product("jw02739001001_02105_00001_nrca1_uncal.fits", 87700000, filters="F115W")
    archive.list_product("jw02739-o001_t001_nircam_clear-f115w_i2d.fits", 87700000, filters="F115W", size=10)
    return archive
