"""Exposures of integral-field units in files: calibrated, with their WCS, read one at a time."""

import weakref
from functools import partial

import numpy as np
import pytest
from astropy.io import fits

from mrs_references import SHAPE, image_of, made_up_references
from snakewebb.chain import run_chain
from snakewebb.cubes.ifu_members import IFUMember, IFUMembers
from snakewebb.dq import OUTLIER
from snakewebb.errors import BadDataError
from snakewebb.imaging.outlier_detection import outlier_detection
from snakewebb.io.models import Image
from snakewebb.io.products import UnreadWCS, read_image, write_image
from snakewebb.io.references import References
from snakewebb.wcs.assign_wcs import assign_wcs


@pytest.fixture(scope="module")
def cals(tmp_path_factory):
    """Two exposures with a bad column of pixels in common."""
    folder = tmp_path_factory.mktemp("cals")
    references = References(made_up_references(folder), (1, 1, SHAPE[1], SHAPE[0]))
    paths = []
    for number in range(2):
        image = image_of(FILENAME=f"jw00001001001_02101_0000{number + 1}_mirifushort_cal.fits", INSTRUME="MIRI")
        random = np.random.default_rng(number)
        image.data[...] = random.normal(20.0, 1.0, SHAPE)
        image.data[100:1000:50, 205] += 500.0
        image.err[...] = 1.0
        image.sci_header["BUNIT"] = "MJy/sr"
        assert assign_wcs(image, references).state == "COMPLETE"
        paths.append(folder / image.header["FILENAME"])
        write_image(paths[-1], image, "IFUImageModel")
    return paths


def test_from_files_to_files(cals, tmp_path):
    def save(path, image):
        write_image(tmp_path / path.name.replace("_cal", "_a3001_crf"), image, "IFUImageModel")

    product = IFUMembers.of_files(cals, save=save)
    assert [member.name for member in product.members] == [path.name for path in cals]
    assert product.members[0].band == ("MIRIFUSHORT", "12", "SHORT")
    chain = [{"step": "outlier_detection", "version": 2, "parameters": {}}]
    (outcome,) = run_chain(product, chain, References({}, (1, 1, 1, 1)))
    assert (outcome.status.state, outcome.keyword) == ("COMPLETE", "S_OUTLIR")
    for path in cals:
        with fits.open(tmp_path / path.name.replace("_cal", "_a3001_crf")) as units:
            assert (units["DQ"].data[100:1000:50, 205] & OUTLIER).all()
            assert np.isnan(units["SCI"].data[100:1000:50, 205]).all()
    exposure = product.members[1].pixels()
    assert exposure.bands == (("1", "short"), ("2", "short"))
    table = exposure.load(("1", "short"), None)
    image = read_image(cals[1])
    np.testing.assert_array_equal(table.flux, image.data.ravel()[table.place])


def test_the_wcs_is_written_as_it_was_read(cals, tmp_path):
    """Unread, and read, if another software wrote it."""
    image = IFUMembers.of_files(cals[:1], save=None).members[0].load()
    assert isinstance(image.wcs, UnreadWCS)
    write_image(tmp_path / "a_crf.fits", image, "IFUImageModel")
    foreign = UnreadWCS(image.wcs.content.replace(b"snakewebb", b"stdatamod"))
    image.wcs = foreign
    write_image(tmp_path / "b_crf.fits", image, "IFUImageModel")
    members = IFUMembers.of_files([tmp_path / "b_crf.fits"], save=None).members
    write_image(tmp_path / "c_crf.fits", members[0].load(), "IFUImageModel")
    contents = [fits.getdata(path, "ASDF").tobytes() for path in (cals[0], *sorted(tmp_path.glob("?_crf.fits")))]
    assert contents[0] == contents[1] == contents[3]
    assert contents[2] == foreign.content


def test_one_exposure_is_held_at_a_time():
    alive, most = weakref.WeakSet(), []

    class Counted(Image):
        __hash__ = object.__hash__

    def load(number):
        random = np.random.default_rng(number)
        header = fits.Header({"INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "CHANNEL": "12", "BAND": "SHORT"})
        data, err = (random.normal(20.0, 1.0, (40, 50)).astype(np.float32) for _ in range(2))
        image = Counted(header, fits.Header(), data, err, np.zeros((40, 50), np.uint32))
        alive.add(image)
        most.append(len(alive))
        return image

    header = load(0).header
    most.clear()
    members = [IFUMember(f"e{number}", header, partial(load, number), lambda image: None) for number in range(5)]
    outlier_detection(IFUMembers(members), None)
    assert len(most) == 10
    assert max(most) <= 2  # the last one, until the next one has taken its name


def test_another_instrument_is_refused():
    member = IFUMember("jw_nrca1_cal.fits", fits.Header({"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1"}), lambda: None)
    with pytest.raises(
        BadDataError, match=r"jw_nrca1_cal\.fits, primary header: INSTRUME is 'NIRCAM', expected MIRI or"
    ):
        outlier_detection(IFUMembers([member, member]), None)
