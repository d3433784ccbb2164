"""Which files the archive has for a selection, and where they are.

Observations and lists of products come through `astroquery.mast`; it is imported here only, as that takes seconds.
"""

import logging
import os
import time
import warnings
from urllib.parse import quote

from snakewebb.errors import ConfigError, TransientError
from snakewebb.io.retries import AgainError, innermost_reason, with_retries
from snakewebb.plan.fetch_selection import describes, selects
from snakewebb.plan.modes import BY_INTEGRATION
from snakewebb.plan.names import MSA_METADATA

OBSERVATIONS_AT_ONCE = 50
"""Observations whose products are asked for together: some have thousands."""
_COLUMNS = (
    "instrument_name",
    "filters",
    "calib_level",
    "obsid",
    "parent_obsid",
    "productFilename",
    "dataURI",
    "size",
    "dataRights",
)
_BY_INTEGRATION = ("NIRCAM/CORON", "NIRISS/SOSS", "NIRISS/AMI", "MIRI/SLITLESS", "MIRI/CORON")
"""What the archive calls modes of which files of the single integrations are needed, as far as it tells them from others."""
_FIRST_ATTEMPTS = 3  # to reach it at all
_PATHS_AT_ONCE = 50  # more do not fit into one address


def archive_server():
    """Address of the archive: ``$SNAKEWEBB_ARCHIVE``, else MAST.

    From the environment only, as a token is sent there: a configuration that somebody else wrote must not choose it.
    """
    return os.environ.get("SNAKEWEBB_ARCHIVE", "https://mast.stsci.edu").rstrip("/")


def cloud_server():
    """Address of the public copy: ``$SNAKEWEBB_CLOUD``, else the bucket ``stpubdata``."""
    return os.environ.get("SNAKEWEBB_CLOUD", "https://stpubdata.s3.amazonaws.com").rstrip("/")


def archive_address(uri):
    """Address of a file in the archive.

    Parameters
    ----------
    uri : str
        ``mast:JWST/product/<name>``.
    """
    return f"{archive_server()}/api/v0.1/Download/file?uri={quote(uri, safe=':/')}"


class Archive:
    """The archive's lists.

    Parameters
    ----------
    timeout : float
        Seconds to wait for an answer.
    retries : int
    pause : float
        Seconds before the first retry; they double.
    sleep : callable
        Waits for a number of seconds.
    """

    def __init__(self, *, timeout=60, retries=5, pause=1.0, sleep=time.sleep):
        self._server = archive_server()
        self._timeout, self._retries, self._pause, self._sleep = timeout, retries, pause, sleep
        self._reached, self._missed = False, 0
        self._observations = self._query_object()

    def _query_object(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from astroquery import log
            from astroquery.mast import ObservationsClass

        log.setLevel(logging.ERROR)
        observations = ObservationsClass()
        portal = observations._portal_api_connection
        portal.MAST_REQUEST_URL = f"{self._server}/api/v0/invoke"
        portal.COLUMNS_CONFIG_URL = f"{self._server}/portal/Mashup/Mashup.asmx/columnsconfig"
        request = portal._session.request
        # astroquery waits for ever
        portal._session.request = lambda *arguments, **options: request(
            *arguments, **{**options, "timeout": options.get("timeout") or self._timeout}
        )
        return observations

    def check_token(self, token):
        """Check that a token is one of the archive's.

        Raises
        ------
        ConfigError
            If it is not, or has expired; the message does not have it.
        """

        def ask():
            # not as a cookie of the session, which would go to other servers too
            response = self._observations._session.request(
                "GET",
                f"{self._server}/whoami",
                headers={"Accept": "application/json", "Authorization": f"token {token}"},
                cookies={"mast_token": token},
                auth=lambda request: request,
                allow_redirects=False,
            )
            if response.status_code not in (401, 403):
                response.raise_for_status()
            return response.status_code == 200 and not response.json().get("anon", True)

        if not self._ask(ask):
            raise ConfigError(
                f"MAST_API_TOKEN: {self._server} does not know the token, or it has expired; make one at "
                "https://auth.mast.stsci.edu/tokens, or unset the variable to fetch public files only"
            )

    def products(self, selection, *, mode=None):
        """Files of a selection, with those that its exposures cannot be calibrated without.

        These are the single integrations (``rateints``, ``calints``) where the mode works on them, and the descriptions of NIRSpec's
        micro-shutters.

        Parameters
        ----------
        selection : dict
            Of `snakewebb.plan.fetch_selection.selection_of`.
        mode : str, optional
            Observing mode of the run. Without one, the name that the archive has for the mode of each observation counts: time series
            of NIRCam, NIRSpec and MIRI's imager it does not tell from others.

        Returns
        -------
        list of dict
            ``name``, ``size`` (bytes, None if the archive does not know), ``uri`` and ``exclusive``, sorted by name.

        Raises
        ------
        ConfigError
            If nothing is selected: with what the programme has.
        TransientError
            If the archive cannot be reached, or answers with an error.
        """
        programs = selection["programs"]
        numbers = sorted({*programs, *(program.lstrip("0") for program in programs)})
        rows = self._rows(self._observations.query_criteria, obs_collection="JWST", proposal_id=numbers)
        rows = [row for row in rows if row["calib_level"] not in ("", "-1")]  # what is only planned has no files
        if not rows:
            raise ConfigError(f"fetch.programs: {', '.join(programs)}: the archive has no observations of it (yet)")
        chosen = [row for row in rows if _instrument_fits(row, selection) and _filter_fits(row, selection)]
        if not chosen:
            found = sorted({f"{row['instrument_name']} {row['filters']}" for row in rows})
            raise ConfigError(
                f"fetch: no observation of {', '.join(programs)} has the instruments and filters asked for; there are: "
                f"{', '.join(found)}"
            )
        files, descriptions, passed = {}, {}, 0
        instruments = {row["obsid"]: row["instrument_name"].upper() for row in chosen}
        identifiers = sorted(instruments)
        for start in range(0, len(identifiers), OBSERVATIONS_AT_ONCE):
            part = identifiers[start : start + OBSERVATIONS_AT_ONCE]
            for row in self._rows(self._observations.get_product_list, part):
                passed += 1
                name = row["productFilename"].lower()
                if not _filter_fits(row, selection):
                    continue
                single = mode in BY_INTEGRATION if mode else instruments.get(row["parent_obsid"]) in _BY_INTEGRATION
                if selects(selection, name) or (single and selects(selection, name, ending="ints")):
                    files[name] = _product(name, row)
                elif MSA_METADATA.match(name):
                    descriptions[name] = _product(name, row)
        if not files:
            raise ConfigError(
                f"fetch: none of the {passed} files of {', '.join(programs)} is one that is asked for (level {selection['level']}"
                f"{_asked(selection)})"
            )
        if selection["level"] != "cal":
            files |= {name: file for name, file in descriptions.items() if describes(name, list(files))}
        return [files[name] for name in sorted(files)]

    def cloud_paths(self, uris):
        """Paths of files in the public copy.

        Parameters
        ----------
        uris : list of str

        Returns
        -------
        dict
            Path by uri; without those that are not there.
        """
        paths = {}
        for start in range(0, len(uris), _PATHS_AT_ONCE):
            part = uris[start : start + _PATHS_AT_ONCE]

            def ask(part=part):
                response = self._observations._session.request(
                    "GET", f"{self._server}/api/v0.1/path_lookup/", params={"uri": part}
                )
                response.raise_for_status()
                return response.json()

            answer = self._ask(ask)
            for uri in part:
                path = (answer.get(uri) or {}).get("path")
                if path:
                    paths[uri] = path.lstrip("/")
        return paths

    def _rows(self, query, *arguments, **criteria):
        """Rows of a table of the archive, as dicts of texts; columns that it does not have are empty."""

        def ask():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of no results: that has a message of ours
                return query(*arguments, **criteria)

        table = self._ask(ask)
        columns = {
            name: [_text(value) for value in table[name].tolist()] for name in _COLUMNS if name in table.colnames
        }
        return [
            dict.fromkeys(_COLUMNS, "") | dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]

    def _ask(self, question):
        import requests
        from astroquery.exceptions import RemoteServiceError

        def attempt():
            try:
                answer = question()
                self._reached = True
                return answer
            except (requests.Timeout, TimeoutError) as error:
                raise AgainError(f"{self._server}: no answer from the archive within {self._timeout} s") from error
            except requests.HTTPError as error:
                code = error.response.status_code
                message = f"{self._server}: the archive answers with HTTP {code}"
                if code >= 500 or code in (408, 429):
                    raise AgainError(f"{message}: it is in trouble; try again later") from error
                raise TransientError(f"{message} to {error.request.path_url.partition('?')[0]}") from error
            except ValueError as error:
                raise AgainError(
                    f"{self._server}: the archive did not answer in JSON: is this the page of a proxy or of a login?"
                ) from error
            except requests.RequestException as error:
                self._missed += 1
                # a network that has never been there will not come within a minute
                kind = AgainError if self._reached or self._missed < _FIRST_ATTEMPTS else TransientError
                raise kind(
                    f"{self._server}: the archive cannot be reached ({innermost_reason(error)}). `snakewebb fetch` is the only "
                    "command that needs the network: run it where there is one (a proxy is set by HTTPS_PROXY); everything else "
                    "works without"
                ) from error
            except KeyError as error:
                raise TransientError(
                    f"{self._server}: the archive's answer lacks {error}; is it another service?"
                ) from error
            except RemoteServiceError as error:
                raise TransientError(f"{self._server}: the archive answers with an error: {error}") from error

        return with_retries(attempt, retries=self._retries, pause=self._pause, sleep=self._sleep)


def _text(value):
    return "" if value is None else str(value)


def _instrument_fits(row, selection):
    instrument = row["instrument_name"].partition("/")[0].lower()
    return not selection["instruments"] or instrument in selection["instruments"]


def _filter_fits(row, selection):
    """Whether an observation, or a product, has one of the filters asked for; one that does not say passes."""
    elements = {part.strip().upper() for part in row["filters"].replace(",", ";").split(";")} - {""}
    return not selection["filters"] or not elements or bool(elements & set(selection["filters"]))


def _product(name, row):
    size = int(row["size"] or 0)
    return {
        "name": name,
        "uri": row["dataURI"],
        "size": size if size > 0 else None,
        "exclusive": row["dataRights"].upper() not in ("", "PUBLIC"),
    }


def _asked(selection):
    return "".join(f", {key} {' '.join(selection[key])}" for key in ("observations", "exposures") if selection[key])
