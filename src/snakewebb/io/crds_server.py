"""What a CRDS server is asked: JSON-RPC as the ``crds`` client speaks it, without importing that client, which takes seconds."""

import base64
import functools
import gzip
import html
import json
import os
import re
import uuid

from snakewebb.errors import NotOnServerError
from snakewebb.io.connection import Connection, ask
from snakewebb.io.retries import AgainError

DEFAULT_SERVER = "https://jwst-crds.stsci.edu"
OBSERVATORY = "jwst"
_MAPPING = re.compile(r".+\.[pir]map")


def server_url(configured=None):
    """Address of the server, ``None`` if there is none: work offline.

    Parameters
    ----------
    configured : str, optional
        ``crds_server`` of the configuration; without it ``$CRDS_SERVER_URL`` counts. An address with ``serverless`` in it is
        none, as for ``crds``.
    """
    url = configured or os.environ.get("CRDS_SERVER_URL")
    return None if not url or "serverless" in url else url.rstrip("/")


class CrdsServer:
    """A CRDS server.

    Parameters
    ----------
    url : str
        ``https://jwst-crds.stsci.edu``.
    attempts, pause, timeout
        As in `snakewebb.io.download.download`, also for the files.
    """

    def __init__(self, url, *, attempts=5, pause=1.0, timeout=60):
        self.base = url.rstrip("/")
        self.options = {"attempts": attempts, "pause": pause, "timeout": timeout}

    def call(self, method, *parameters):
        """Answer to a remote procedure call.

        Raises
        ------
        NotOnServerError
            If the server answers that it cannot, with its message.
        TransientError
            If it does not answer as a CRDS server does, after all attempts.
        """
        identity = f"snakewebb-{uuid.uuid4()}"
        url = f"{self.base}/json/{method}/{identity}/"  # method and identity are for the server's log
        question = json.dumps({"jsonrpc": "1.0", "method": method, "params": parameters, "id": identity}).encode()
        connection = Connection(timeout=self.options["timeout"])
        answer = ask(
            lambda: _answer(connection.post(url, question)),
            url,
            attempts=self.options["attempts"],
            pause=self.options["pause"],
            failure=f"{self.base}: the CRDS server did not answer {method}",
            advice="check the address (crds_server, CRDS_SERVER_URL)",
        )
        if answer.get("error"):
            message = html.unescape(str(answer["error"].get("message", answer["error"])))
            raise NotOnServerError(f"{self.base}: {method}{tuple(parameters)!r:.200}: {' '.join(message.split())}")
        return decode(answer["result"])

    @functools.cached_property
    def info(self):
        """What the server tells of itself, in the shape in which ``crds`` keeps it in a cache.

        Of addresses that are given as ``checked`` and ``unchecked`` the latter are taken; sizes and hashes of all files
        (``download_metadata``) stay packed.
        """
        info = dict(self.call("get_server_info"))
        for key in ("reference_url", "mapping_url", "config_url", "pickle_url"):
            if isinstance(info.get(key), dict) and "unchecked" in info[key]:
                info[key] = info[key]["unchecked"]
        info["server"] = self.base
        if "download_metadata" not in info:
            facts = self.call("get_file_info_map", OBSERVATORY, None, ["sha1sum", "size"])
            info["download_metadata"] = encode(facts)
        return info

    @functools.cached_property
    def _files(self):
        return decode(self.info["download_metadata"])

    def file_info(self, names):
        """Size and hash of files.

        Parameters
        ----------
        names : iterable of str

        Returns
        -------
        dict of str to dict
            ``{"size": bytes, "sha1": hexadecimal}`` of those that the server knows.
        """
        return {name: facts for name in names if (facts := facts_of(self._files.get(name))) is not None}

    def mapping_names(self, context):
        """Names of all mappings of a context."""
        return [str(name) for name in self.call("get_mapping_names", context)]

    def url(self, name):
        """Address of a mapping or a reference file."""
        key = "mapping_url" if _MAPPING.fullmatch(name) else "reference_url"
        folder = self.info.get(key)
        folder = folder.get(OBSERVATORY) if isinstance(folder, dict) else folder
        if not folder or folder == "none":
            raise NotOnServerError(
                f"{self.base}: the server does not say where its files are ({key} of get_server_info)"
            )
        return f"{folder.rstrip('/')}/{name}"


def _answer(text):
    """What a server answers, a dict with ``error`` or ``result``."""
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise AgainError(f"the answer is not JSON: {text[:60]!r}") from error
    if not isinstance(answer, dict) or not {"error", "result"} & set(answer):
        raise AgainError(f"the answer is not one of JSON-RPC: {text[:60]!r}")
    return answer


def facts_of(entry):
    """Size and hash of an entry of the server's catalogue, ``None`` if it has none."""
    if not isinstance(entry, dict) or not str(entry.get("size", "")).isdigit():
        return None
    sha1 = str(entry.get("sha1sum", "")).lower()
    return {"size": int(entry["size"]), "sha1": sha1 if re.fullmatch(r"[0-9a-f]{40}", sha1) else None}


def decode(content):
    """An answer that the server packed, or any other as it is."""
    if isinstance(content, dict) and "crds_encoded" in content:
        return json.loads(gzip.decompress(base64.b64decode(content["crds_payload"])))
    return content


def encode(content):
    """Pack something as the server does."""
    packed = gzip.compress(json.dumps(content).encode(), mtime=0)
    return {"crds_encoded": "1.0", "crds_payload": base64.b64encode(packed).decode()}
