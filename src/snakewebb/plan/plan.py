"""The plan of a programme: exposures, associations, parameters and references, and the work of every job.

Everything here is a function of headers and configuration. What a job does is one plain dict, its *work*: Snakemake
compares it with the one recorded, so whatever determines a product stands in it and nothing else.
"""

import fnmatch
import functools
import os
from pathlib import Path

from snakewebb import __version__
from snakewebb.cache import read_json
from snakewebb.errors import ConfigError, MissingReferenceError
from snakewebb.failures import this_run
from snakewebb.plan import product_members, stage2_work, stage3_work
from snakewebb.plan.associations import (
    ASSOCIATE,
    TargetNumbers,
    merge_associations,
    official_files,
    read_association,
)
from snakewebb.plan.chains import OF_EXPOSURES, OF_MEMBERS, edited_chains, steps_of_job
from snakewebb.plan.common_grid import common_grids
from snakewebb.plan.configuration import read_configuration
from snakewebb.plan.context import chosen_context, context_notes
from snakewebb.plan.contracts import contract_of
from snakewebb.plan.cubes import planned_cubes
from snakewebb.plan.detection import detection_products
from snakewebb.plan.exposures import find_exposures, missing_segments
from snakewebb.plan.ifu_exposures import is_imprint
from snakewebb.plan.image_notes import image_notes
from snakewebb.plan.modes import read_mode
from snakewebb.plan.pairs import pairs_of
from snakewebb.plan.parameters import FileHashes, Layer, layer, resolve_chain, selected, switched_off
from snakewebb.plan.persistence import earlier_exposures, find_windows, windows_work
from snakewebb.plan.strays import reliable_exposures, without_strays
from snakewebb.plan.templates import templates_work
from snakewebb.plan.works import canonical, digest, reference_names, set_name, token_path

STATE = Path(".snakewebb")
"""Folder of the programme for tables that can be made again."""
LAST_CONTEXT = STATE / "context.json"
"""Context of the last run."""

# parameters of steps whose value is the path of a file of the user: its content counts, not its name
_FILE_PARAMETERS = {
    "user_supplied_dq",
    "user_supplied_flat",
    "user_mask",
    "catfile",
    "abs_refcat",
    "output_wcs",
    "skylist",
    "persistence_array_file",
    "offset_file",
    "offset_table",
    "user_background",
}


class Plan:
    """The plan of the programme in the working directory.

    Parameters
    ----------
    mode_file : path-like
        config/modes/<mode>.yaml.
    chains_file : path-like
        config/chains.yaml.
    builds_file : path-like
        config/builds.yaml.
    config_file : path-like or None
        The user's config.yaml, ``None`` if there is none to read (as a module of another workflow).
    command_line : dict
        Snakemake's ``config``.
    read_headers : bool
        False in a job's own parse: tables that the controller wrote are read, never rebuilt.

    Raises
    ------
    ConfigError
        If the configuration or the set of inputs is not usable.
    """

    def __init__(self, mode_file, chains_file, builds_file, *, config_file, command_line, read_headers=True):
        self.configuration = read_configuration(config_file, command_line)
        self.mode = read_mode(mode_file, self.configuration["mode"], chains_file)
        self.context = chosen_context(self.configuration, builds_file)
        self.crds_path = os.path.abspath(
            os.path.expanduser(self.configuration["crds_path"] or os.environ.get("CRDS_PATH") or "~/crds_cache")
        )
        self.chains = edited_chains(self.mode.chains, self.configuration["chain_edits"])
        names = [name for chain in self.chains.values() for name in chain]
        self.layers = [
            Layer(f"mode {self.mode.name}", self.mode.steps),
            *(layer(origin, content, names) for origin, content in self.configuration.layers),
        ]
        self._hashes = FileHashes(STATE / "files.json")
        self.left_out, self.notes = [], [*context_notes(self.context, LAST_CONTEXT), *self._without_effect(names)]
        self.exposures = self._exposures(read_headers)
        self.notes += missing_segments(self.exposures.values())
        self.parameter_files = self._parameter_files()
        self.selection = self._references()
        self.official = official_files(self.configuration["associations"], self.mode.stage2, self.mode.stage3)
        self._find_members()
        self._leave_out_failed()
        self.notes += self._find_members()
        self._earlier = self._find_earlier()
        usable, numbers = reliable_exposures(self), TargetNumbers("targets.tsv", self.configuration["targets"])
        self.associations = {product.product: product for product in self._associations(usable, numbers)}
        self.pairs = pairs_of(self, usable, numbers)
        self.cubes = planned_cubes(self)
        self.grids = common_grids(self)
        self.detections = detection_products(self)
        self.notes += stage3_work.product_notes(self) + image_notes(self)

    def _without_effect(self, names):
        """Notes of what the user says of steps that the mode does not have: the same configuration may serve other modes."""
        given = {
            (part.origin, name)
            for part in self.layers[1:]
            for steps in (part.steps, *(steps for _, steps in part.overrides))
            for name in steps
        }
        return [
            f"{origin}: steps.{name}: mode {self.mode.name} has no such step, so this has no effect"
            for origin, name in sorted(given)
            if name not in names
        ]

    # -- what is there ------------------------------------------------------------------------------------------------

    def _exposures(self, read_headers):
        table = find_exposures(
            self.configuration["inputs"],
            STATE / "exposures.json",
            start=self.configuration["start"],
            read_headers=read_headers,
        )
        self.left_out += table.left_out
        exclude = self.configuration["exclude"]
        if isinstance(exclude, list):
            exclude = dict.fromkeys(exclude, "excluded in the configuration")
        kept = {}
        for exposure in table.exposures:
            reason = next((exclude[p] for p in exclude if fnmatch.fnmatchcase(exposure.root, str(p))), None)
            if reason is None:
                reason = self.mode.refusal(exposure.header)
            if reason is None and exposure.level != "uncal" and self.mode.stage2 is None:
                reason = f"a {exposure.level} file, but mode {self.mode.name} goes no further than {self.mode.stage1}"
            if reason is None:
                kept[exposure.root] = exposure
            else:
                self.left_out.append((exposure.path, str(reason)))
        return kept

    def _parameter_files(self):
        """Layers from the parameter files (``pars-*``) of CRDS, by exposure; the same for most."""
        self._unused = {}  # origin of a layer -> step -> parameters that have no effect
        headers = {root: exposure.header for root, exposure in self.exposures.items()}
        if not headers:
            return {}
        from snakewebb.plan.crds_selection import select_parameters

        layers = {root: [] for root in headers}
        for chain, names in self.chains.items():
            found = select_parameters(headers, names, self.context, self.crds_path, pipeline=chain)
            made = {}  # a layer of each file, shared by all exposures that use it
            for root, files in found.items():
                for name, steps in files:
                    if name not in made:
                        made[name] = Layer(f"CRDS {name}", self._known(f"CRDS {name}", steps))
                    layers[root].append(made[name])
        return {root: tuple(found) for root, found in layers.items()}

    def _known(self, origin, steps):
        """What a parameter file says of parameters that our steps have; the rest is noted, here and in the records."""
        known = {}
        for name, given in steps.items():
            parameters = contract_of(name).parameters
            known[name] = {key: value for key, value in given.items() if key in parameters or key == "skip"}
            for key in sorted(set(given) - set(known[name])):
                self._unused.setdefault(origin, {}).setdefault(name, {})[key] = given[key]
                note = f"{origin}: {name}.{key} = {given[key]!r} is not a parameter of ours and has no effect"
                if note not in self.notes:
                    self.notes.append(note)
        return known

    def _references(self):
        """Name of the selected reference of every exposure and type, ``None`` for N/A."""
        known = {}  # of the chains that thousands of exposures share
        while True:
            wanted = {}
            for root, exposure in self.exposures.items():
                chains = [self.chain(name, root) for name in self._transitions_of(exposure)]
                kind = exposure.header.get("EXP_TYPE")
                key = (kind, *map(id, chains))
                if key not in known:
                    types = {
                        reftype
                        for chain in chains
                        for reftype in chain.reference_types(kind)
                        if reftype not in chain.overrides
                    }
                    known[key] = chains, sorted(types)
                wanted[root] = known[key][1]
            if not any(wanted.values()):
                return {root: {} for root in wanted}
            from snakewebb.plan.crds_selection import select_names

            headers = {root: exposure.header for root, exposure in self.exposures.items()}
            try:
                found = select_names(headers, wanted, self.context, self.crds_path)
                for root, reason in stage2_work.without_geometry(self, found).items():
                    self.left_out.append((self.exposures.pop(root).path, reason))
                return found
            except MissingReferenceError as error:
                reasons = getattr(error, "exposures", {})
                if not reasons:
                    raise
                for root, found in reasons.items():
                    self.left_out.append((self.exposures.pop(root).path, "; ".join(found)))

    @property
    def stage1_suffix(self):
        """Suffix of what stage 1 makes of a raw exposure, by which the next rule knows it."""
        return {"detector1": "rate", "dark": "dark", "guider": "cal"}[self.mode.stage1]

    def _stages_of(self, exposure):
        stage2 = None if is_imprint(exposure.header) else self.mode.stage2
        stages = {"uncal": (self.mode.stage1, stage2), "rate": (stage2,), "cal": ()}[exposure.level]
        return tuple(name for name in stages if name in self.chains)

    def _transitions_of(self, exposure):
        if is_imprint(exposure.header):
            return self._stages_of(exposure)
        own = (name for name in self.chains.get(self.mode.stage2, ()) if name in OF_EXPOSURES)
        return (*self._stages_of(exposure), *own, *self.chains.get(self.mode.stage3, ()))

    def _find_members(self):
        """Find the exposures that belong to each exposure in stages 2 and 3; returns what could not be used, and why."""
        self.members, notes = stage2_work.find_members(self)
        self.companions = product_members.find_companions(self)
        return notes

    def _leave_out_failed(self):
        if not os.path.isdir("excluded"):
            return
        for root, exposure in list(self.exposures.items()):
            record = read_json(f"excluded/{root}.json")
            if record is None or record.get("identity") != exposure.identity:
                continue
            # what a run finds out does not change its own plan: second attempts have the plan of the first
            if record.get("run") is not None and record["run"] == this_run():
                continue
            if self.configuration["bad_exposures"] == "exclude" and record["work"] == digest(
                Plan.exposure_work.__wrapped__(self, record["transition"], root)
            ):
                del self.exposures[root]
                self.left_out.append((exposure.path, f"{record['reason']} (delete excluded/{root}.json to try again)"))

    def _associations(self, usable, numbers):
        if self.mode.stage3 is None:
            return []
        official = []
        for path in self.official[3]:
            present = {exposure.root for exposure in self.exposures.values()}
            left_out = {Path(path).name.rsplit("_", 1)[0] for path, _ in self.left_out}
            for association in read_association(path, present | left_out):
                members = tuple(root for root in association.members if root in present)
                official.append(type(association)(**{**association.__dict__, "members": members}))
        made = ASSOCIATE[self.mode.stage3](usable, by=self.configuration["associate_by"], target_numbers=numbers)
        merged = [association for association in merge_associations(official, made) if association.members]
        merged = without_strays(self, merged)
        return [product_members.with_backgrounds(self, association) for association in merged]

    def association(self, product):
        """The association of a product, also of a pair of wavefront sensing."""
        return self.pairs.get(product) or self.associations[product]

    # -- work of the jobs ---------------------------------------------------------------------------------------------

    def chain(self, transition, root=None, *, like=None):
        """The resolved chain of a transition for an exposure, or for a product (no exposure).

        Parameters
        ----------
        transition : str
            ``detector1``, ``image2``, ``spec2``, or the name of a step that is a rule of its own.
        root : str, optional
            The exposure.
        like : str, optional
            For a product: the exposure whose parameter files of CRDS are used, by default the first one.
        """
        names = self._steps_of(transition)
        if names is None:
            return switched_off(transition)
        files = self.parameter_files.get(root or like or next(iter(self.parameter_files), None), ())
        return self._resolved(names, self._matching(root) if root else (), files)

    @functools.cache  # noqa: B019
    def _steps_of(self, transition):
        return steps_of_job(transition, self.chains, self.mode.stage2)

    @functools.cache  # noqa: B019
    def _matching(self, root):
        """Numbers of the layers, and of their overrides, that are meant for an exposure."""
        return tuple(
            (number, index)
            for number, part in enumerate(self.layers)
            for index, (select, _) in enumerate(part.overrides)
            if selected(select, self.exposures[root].header, root)
        )

    @functools.lru_cache(maxsize=4096)  # noqa: B019
    def _resolved(self, names, matching, files):
        layers = [
            Layer(
                part.origin,
                part.steps,
                tuple(
                    ({}, steps) if (number, index) in matching else (_NEVER, steps)
                    for index, (_, steps) in enumerate(part.overrides)
                ),
            )
            for number, part in enumerate(self.layers)
        ]
        chain = resolve_chain(list(names), [*files, *layers])
        for entry in chain.entries:
            self._hash_files(entry)
        for reftype, path in chain.overrides.items():
            if path.upper() != "N/A":
                self._hashes.sha1(path, f"override_{reftype}")
        chain.entries = canonical(chain.entries)
        return chain

    def _hash_files(self, entry):
        for key, value in entry.get("parameters", {}).items():
            if key in _FILE_PARAMETERS and isinstance(value, str) and os.path.isfile(value):
                entry.setdefault("files", {})[key] = self._hashes.sha1(value, f"steps.{entry['step']}.{key}")

    def hash_of(self, path, key):
        """SHA-1 of a file of the user that the configuration key ``key`` names."""
        return self._hashes.sha1(path, key)

    def is_on(self, step, root=None):
        """Whether a step that is a rule of its own, or one that its job runs, is in its chain and on, for an exposure or for products."""
        return not all(entry.get("skip", False) for entry in self.chain(step, root).entries)

    @functools.cache  # noqa: B019
    def exposure_work(self, transition, root):
        """The work of an exposure's job: what determines its product, in plain types.

        Parameters
        ----------
        transition : str
            Name of a pipeline (``detector1``, ``image2``, ...) or of a step that is a rule of its own.
        root : str
        """
        exposure = self.exposures[root]
        if transition == "persistence_windows":
            return canonical(windows_work(self, root))
        if transition in OF_MEMBERS:
            return canonical(product_members.member_work(self, transition, root))
        if transition == "find_sources":
            return self.source_finding_work(root)
        chain = self.chain(transition, root)
        work = {}
        if transition == stage2_work.first_job(self, root):
            work["input"] = exposure.identity
        work |= stage2_work.members_work(self, transition, root)
        work |= templates_work(self, root, chain.entries)
        types = chain.reference_types(exposure.header.get("EXP_TYPE"))
        if types:
            work["references"] = {reftype: self.reference(root, reftype, chain.overrides) for reftype in types}
        # the chain is shared by all exposures that have the same, not copied for each
        return {"chain": chain.entries, **canonical(work)}

    def reference(self, root, reftype, overrides):
        """Name of an exposure's reference file, or path and hash of the user's own; ``None`` for N/A."""
        if reftype in overrides:
            path = overrides[reftype]
            if path.upper() == "N/A":
                return None
            return {"path": path, "sha1": self._hashes.sha1(path, f"override_{reftype}")}
        name = self.selection[root].get(reftype)
        return None if name is None else {"name": name}

    def _find_earlier(self):
        times = {}
        if self.mode.stage1 == "detector1" and "persistence" in self.chains["detector1"]:
            for root, exposure in self.exposures.items():
                entry = next(e for e in self.chain("detector1", root).entries if e["step"] == "persistence")
                time = entry.get("parameters", {}).get("persistence_time")
                if exposure.level == "uncal" and time is not None and time > 0:
                    times[root] = time
        windows, unknown = find_windows(self.exposures, times)
        self.notes += [
            f"{self.exposures[root].path}: EXPSTART or EXPEND is missing, so persistence of other exposures is not known"
            for root in unknown
        ]
        return {root: found for part in windows.values() for root, found in earlier_exposures(part).items()}

    def persistence_sources(self, root):
        """Earlier exposures whose saturation windows an exposure's job takes; none where the step persistence is off."""
        return self._earlier.get(root, [])

    def source_finding_work(self, root):
        """The work of the job that finds the sources of an exposure."""
        return canonical(stage3_work.source_finding_work(self, root))

    def alignment_work(self, product):
        """The work of a product's alignment."""
        return canonical(stage3_work.alignment_work(self, product))

    def product_work(self, step, product):
        """The work of another job of a product."""
        return canonical(stage3_work.product_work(self, step, product))

    def circumstances(self, transition, root=None, product=None):
        """What a record tells besides the work, and what a job needs but does not change its product."""
        chain = (
            self.chain(transition, root) if product is None else stage3_work.product_chain(self, transition, product)
        )
        names = {entry["step"] for entry in chain.entries}
        unused = {}
        for part in self.parameter_files.get(root, ()):
            found = {name: given for name, given in self._unused.get(part.origin, {}).items() if name in names}
            if found:
                unused[part.origin] = found
        return {
            "context": self.context,
            "crds_path": self.crds_path,
            "mode": self.mode.name,
            "origins": chain.origins,
            "unused": unused,
        }

    def token(self, work):
        """Path of the token that stands for the CRDS references in a work, ``None`` without any."""
        return token_path(work)

    @functools.cached_property
    def reference_sets(self):
        """Names of the reference files of every token, by the token's stem."""
        works = [self.exposure_work(name, root) for root, e in self.exposures.items() for name in self._stages_of(e)]
        sources = {source for root in self.exposures for source in self.persistence_sources(root)}
        works += [self.exposure_work("persistence_windows", root) for root in sorted(sources)]
        works += stage2_work.works_with_references(self)
        works += stage3_work.works_with_references(self)
        return {set_name(tuple(names)): names for names in map(reference_names, works) if names}


_NEVER = {"exposure": "never"}


def check_version(version_file):
    """Check that the installed library is that of the workflow.

    Raises
    ------
    ConfigError
        If not; with both versions.
    """
    wanted = Path(version_file).read_text().strip()
    if __version__ != wanted:
        raise ConfigError(
            f"the installed snakewebb is {__version__}, but this workflow is {wanted}; run `make install` in its "
            f"folder, or import the workflow as it was at the tag v{__version__}"
        )
