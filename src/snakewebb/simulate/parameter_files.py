"""Files of step parameters (``pars-*``) of a simulated CRDS context."""

from dataclasses import dataclass, field

from snakewebb.simulate.reference_format import USEAFTER, meta_of, write_asdf

_STEPS_AND_PIPELINES = """
    adaptivetracemodelstep alignrefsstep ami3pipeline amianalyzestep aminormalizestep assignmtwcsstep
    assignwcsstep backgroundstep badpixselfcalstep barshadowstep chargemigrationstep cleanflickernoisestep
    combine1dstep coron3pipeline cubebuildstep darkcurrentstep darkpipeline detector1pipeline dqinitstep
    emicorrstep engdblogstep extract1dstep extract2dstep firstframestep flatfieldstep fringestep gainscalestep
    groupscalestep guidercdsstep guiderpipeline hlspstep image2pipeline image3pipeline imprintstep ipcstep
    jumpstep jwstpipeline klipstep lastframestep linearitystep masterbackgroundmosstep masterbackgroundstep
    msaflagopenstep outlierdetectionstep pathlossstep persistencestep photomstep pictureframestep
    pixelreplacestep rampfitstep refpixstep resamplespecstep resamplestep resetstep residualfringestep
    rscdstep saturationstep skymatchstep sourcecatalogstep sourcetypestep spec2pipeline spec3pipeline
    spectralleakstep
    stackrefsstep straylightstep superbiasstep targcentroidstep tso3pipeline tsophotometrystep tweakregstep
    wavecorrstep wfscombinestep wfsscontamstep whitelightstep
"""
PARAMETER_TYPES = tuple(f"pars-{name}" for name in _STEPS_AND_PIPELINES.split())

PARAMETER_KEYS = {
    "pars-detector1pipeline": ("TSOVISIT",),
    "pars-darkpipeline": (),
    "pars-image2pipeline": ("EXP_TYPE", "TSOVISIT", "VISITYPE"),
    "pars-tweakregstep": ("EXP_TYPE", "FILTER", "PUPIL"),
    "pars-outlierdetectionstep": ("EXP_TYPE", "FILTER", "PUPIL", "TSOVISIT"),
    "pars-sourcecatalogstep": ("EXP_TYPE", "FILTER"),
}
"""Selection keywords of the parameter files of NIRCam; EXP_TYPE for those that are not named."""


@dataclass(frozen=True)
class ParameterFile:
    """Contents of a ``pars-*`` file and which exposures are given it.

    Attributes
    ----------
    reftype : str
        ``pars-jumpstep``.
    class_name : str
        Class of the step, as the archive's files name it: ``jwst.jump.jump_step.JumpStep``.
    parameters : dict
    steps : dict of str to dict
        Of a pipeline: class name and parameters of its steps, ``{"jump": (class name, {...})}``.
    match : dict of str to str
        Value of selection keywords; those not named match anything.
    instrument : str
        INSTRUME of the exposures it is for.
    """

    reftype: str
    class_name: str
    parameters: dict
    steps: dict = field(default_factory=dict)
    match: dict = field(default_factory=dict)
    instrument: str = "NIRCAM"


def write_parameters(path, entry, *, useafter=USEAFTER):
    """Write a ``pars-*`` file.

    Parameters
    ----------
    path : path-like
    entry : ParameterFile
    useafter : str
    """
    tree = {
        "class": entry.class_name,
        "name": entry.class_name.rpartition(".")[2],
        "meta": {
            **meta_of(entry.reftype, "StepParsModel", useafter, "parameters"),
            "instrument": {"name": entry.instrument},
        },
        "parameters": dict(entry.parameters),
    }
    if entry.steps:
        tree["steps"] = [
            {"class": class_name, "name": name, "parameters": dict(parameters)}
            for name, (class_name, parameters) in entry.steps.items()
        ]
    write_asdf(path, tree)
