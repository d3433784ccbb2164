"""Jobs that are forks of a server: exit codes, messages, kills, environment, many at once."""

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from snakewebb.errors import SnakewebbError
from snakewebb.job_server import AHEAD, JobServer, expect_scripts, through_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forks only on Linux")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # nothing is known of earlier jobs
        patch.setenv("SNAKEWEBB_CACHE", str(tmp_path_factory.mktemp("cache")))
        server = JobServer()
    yield server
    server.close()


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """Run the text of a script as a job in an empty folder: its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(text, given=None, name="script", **options):
        script = tmp_path / f"{name}.py"
        script.write_text(f"from pathlib import Path\nif 'snakemake' in globals():\n    {text}\n")
        return server.run(script, pickle.dumps(given), environment=options.pop("environment", {}), **options)

    return call


def test_the_script_finds_its_object_and_the_folder_of_the_one_who_asked(run, tmp_path):
    assert run("Path('found').write_text(f'{snakemake.value} {Path.cwd()}')", SimpleNamespace(value=3)) == 0
    assert (tmp_path / "found").read_text() == f"3 {tmp_path}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(65)", 65),
        ("raise SystemExit('no such thing')", 1),
        ("raise SystemExit", 0),
        ("1 / 0", 1),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139),
    ],
)
def test_exit_codes_are_those_of_a_process_of_its_own(run, text, code):
    assert run(text) == code


def test_messages_go_where_those_of_the_one_who_asked_go(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nif 'snakemake' in globals():\n    print('said')\n    sys.exit('why it failed')\n")
    code = (
        "import pickle, sys\nfrom snakewebb.job_server import JobServer\n"
        f"sys.exit(JobServer().run({str(script)!r}, pickle.dumps(None), environment={{}}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (1, "said\n", "why it failed\n")


def test_jobs_share_nothing_that_they_change(run, tmp_path):
    for name in ("first", "second"):
        text = "import json; json.dirt = Path('seen').write_text(str(hasattr(json, 'dirt')))"
        assert run(text, name=name) == 0
        assert (tmp_path / "seen").read_text() == "False"


def test_a_script_is_imported_once_and_without_its_object(server, tmp_path):
    script, record = tmp_path / "script.py", tmp_path / "record"
    script.write_text(
        f"import os\nopen({str(record)!r}, 'a').write(f'{{os.getpid()}} {{globals().get(\"snakemake\")}}\\n')\n"
    )
    for value in (1, 2):
        assert server.run(script, pickle.dumps(value), environment={}) == 0
    (first, second, third) = (line.split() for line in record.read_text().splitlines())
    assert first == [str(server._process.pid), "None"]
    assert (second[1], third[1]) == ("1", "2")
    assert len({first[0], second[0], third[0]}) == 3


def test_a_script_that_cannot_be_imported_fails_in_the_job(run):
    assert run("import no_such_package") == 1


def test_the_environment_of_a_job_is_its_own(run, tmp_path):
    text = "import os; Path('found').write_text(os.environ.get('TMPDIR', 'none'))"
    assert run(text, environment={"TMPDIR": "/there"}) == 0
    assert (tmp_path / "found").read_text() == "/there"
    assert run(text) == 0
    assert (tmp_path / "found").read_text() == os.environ.get("TMPDIR", "none")


def test_many_jobs_at_once_get_their_own_answers(run, server, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys, time\nif 'snakemake' in globals():\n    time.sleep(0.05)\n    sys.exit(snakemake)\n")
    with ThreadPoolExecutor(8) as pool:
        codes = pool.map(lambda code: server.run(script, pickle.dumps(code), environment={}), range(40))
        assert list(codes) == list(range(40))


def test_a_job_gets_interrupts_and_the_server_goes_on(run, server):
    server._process.send_signal(signal.SIGINT)
    assert run("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)") == 1
    assert run("pass") == 0


def test_the_process_id_is_known_while_the_job_runs(run, tmp_path):
    seen = []

    class Watch:
        def __init__(self, pid):
            seen.append(pid)

        def __enter__(self):
            seen.append(Path(f"/proc/{seen[0]}/comm").exists())

        def __exit__(self, *_):
            seen.append("left")

    assert run("import time, os; time.sleep(0.1); Path('pid').write_text(str(os.getpid()))", watch=Watch) == 0
    assert seen == [int((tmp_path / "pid").read_text()), True, "left"]
    text = "Path('name').write_text(Path('/proc/self/comm').read_text())"
    assert run(text, name="ramps") == 0
    assert (tmp_path / "name").read_text() == "ramps\n"


def test_the_server_ends_with_the_process_that_started_it():
    code = "from snakewebb.job_server import JobServer\nprint(JobServer()._process.pid, flush=True)\nimport os; os._exit(0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    status, deadline = Path(f"/proc/{int(result.stdout)}/status"), time.monotonic() + 10

    def ended():  # what is left of it may wait for the system to clear it away
        return not status.exists() or "State:\tZ" in status.read_text()

    while not ended():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_is_gone_is_named(tmp_path):
    server = JobServer()
    server._process.kill()
    server._process.wait()
    with pytest.raises(
        SnakewebbError, match=r"job\.py: the process that starts jobs .* has ended; run the command again"
    ):
        server.run(tmp_path / "job.py", b"", environment={})


LATE = "import sys; Path('seen').write_text(str('{0}' in sys.modules)); import {0}"


def test_what_a_job_imports_later_ones_begin_with(run, tmp_path):
    seen = []
    for _ in range(2):
        assert run(LATE.format("colorsys"), name="imports") == 0
        seen.append((tmp_path / "seen").read_text())
    assert seen == ["False", "True"]


def test_modules_of_users_are_imported_by_every_job(run, tmp_path):
    (tmp_path / "mine.py").touch()
    for _ in range(2):
        assert run(LATE.format("mine").replace("import sys", "import sys; sys.path.insert(0, '.')"), name="own") == 0
        assert (tmp_path / "seen").read_text() == "False"


def test_units_are_not_imported_for_files_and_are_whole_where_they_are_needed(run, tmp_path):
    """astropy.utils.data, which astropy.io.fits imports, names units in annotations only."""
    text = (
        "import sys; there = 'astropy.units' in sys.modules, 'astropy.io.fits' in sys.modules; from astropy import units; "
        "from astropy.utils.data import get_free_space_in_dir; "
        "space = get_free_space_in_dir('.', unit=units.byte); Path('found').write_text(f'{there} {type(space).__name__} {space.unit}')"
    )
    assert run(text, name="units") == 0
    assert (tmp_path / "found").read_text() == "(False, True) Quantity byte"


def test_what_jobs_import_to_compile_is_not_taken_over(tmp_path):
    text = (
        "import sys; from snakewebb import job_start; before = job_start.state(); import snakewebb.imaging.sorting as sorting; "
        "import numpy; sorting.sort(numpy.linspace(1, 0, 5000, dtype='f4')); gained = job_start.gained(before); "
        "loaded = [name for name in sys.modules if name.startswith('numba.')]; "
        "print(len(loaded) > 0, len(gained['kernels']), [name for name in gained['modules'] if name.startswith('numba')])"
    )
    environment = os.environ | {"SNAKEWEBB_CACHE": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split(maxsplit=2) == ["True", "1", "[]\n"]


def test_what_a_failed_job_imports_is_not_taken_over(run, tmp_path):
    for _ in range(2):
        assert run(LATE.format("chunk") + "; sys.exit(3)", name="failing") == 3
        assert (tmp_path / "seen").read_text() == "False"


KERNEL = """import numpy as np
    from snakewebb.imaging.stack_median import median_of, median_rows
    Path('seen').write_text(f'{len(median_rows.overloads)} {median_of(np.float32([[[1]], [[3]], [[8]]]))[0, 0]}')"""


def test_kernels_that_a_job_loads_later_ones_and_later_servers_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "cache"))
    Path("script.py").write_text(f"from pathlib import Path\nif 'snakemake' in globals():\n    {KERNEL}\n")
    found = []
    for number_of_jobs in (2, 1, 1):
        server = JobServer()
        for _ in range(number_of_jobs):
            assert server.run("script.py", pickle.dumps(None), environment={}) == 0
            found.append(Path("seen").read_text())
        server.close()
        (record,) = Path("cache").glob("kernels-*/job-starts/script.pickle")
        if len(found) == 3:
            record.write_bytes(b"damaged")
    assert found == ["0 3.0", "1 3.0", "1 3.0", "0 3.0"]
    assert pickle.loads(record.read_bytes())["kernels"][0][:2] == (
        "snakewebb.imaging.stack_median",
        "median_rows",
    )


def test_the_server_has_one_thread_whatever_its_jobs_import(run, server):
    modules = "photutils.segmentation, gwcs, asdf_astropy.io, astropy.table, scipy.optimize, matplotlib.pyplot, crds"
    for _ in range(2):
        assert run(f"import {modules}", name="heavy") == 0
    assert "Threads:\t1\n" in Path(f"/proc/{server._process.pid}/status").read_text()


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_JOB_SERVER", "off")
    assert through_server(print, start=True) is print


@pytest.mark.parametrize("name", ["conda_env", "container_img", "env_modules", "shadow_dir"])
def test_jobs_of_another_environment_are_not_forks(tmp_path, name):
    def script(path, basedir, resources, bench_record, conda_env, container_img, env_modules, shadow_dir):
        return "a process of its own"

    plain = dict.fromkeys(["resources", "bench_record", "conda_env", "container_img", "env_modules", "shadow_dir"])
    (tmp_path / "job.py").touch()
    assert (
        through_server(script, start=False)("job.py", str(tmp_path), **{**plain, name: "x"}) == "a process of its own"
    )


def test_what_is_expected_is_imported_before_it_is_asked_for(server, tmp_path):
    scripts = [tmp_path / f"expected{number}.py" for number in (1, 2)]
    for script in scripts:
        script.write_text(
            f"import os\nopen({str(tmp_path / 'record')!r}, 'a').write(f'{{os.getpid()}} {script.stem}\\n')\n"
        )
    server.expect([*scripts, tmp_path / "missing.py"])
    deadline = time.monotonic() + 30
    while not (tmp_path / "record").exists() or (tmp_path / "record").read_text().count("\n") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (tmp_path / "record").read_text() == "".join(f"{server._process.pid} {script.stem}\n" for script in scripts)
    assert server.run(scripts[1], pickle.dumps(None), environment={}) == 0
    # the server has not imported it again: the last line is the job's
    assert (tmp_path / "record").read_text().splitlines()[2].split()[1] == "expected2"


def wait_until_it_sleeps(pid):
    """Wait until a process has used no processor's time for half a second."""
    spent, seconds = [None] * 10, 0
    while len(set(spent)) > 1 or spent[0] in (None, ("0", "0")):
        assert seconds < 60
        time.sleep(0.05)
        seconds += 0.05
        spent = [*spent[1:], tuple(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])]


def test_the_next_server_begins_with_what_this_one_expected(tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nimport sys\nPath('imported').write_text('')\nif 'snakemake' in globals():\n"
        "    Path('found').write_text(str('colorsys' in sys.modules))\n    import colorsys\n"
    )
    for seen in ("False", "True"):
        server = JobServer()
        if seen == "False":
            server.expect([script])
            assert server.run(script, pickle.dumps(None), environment={}) == 0
            assert (tmp_path / "found").read_text() == seen
            # what a job imported is told at its end, and kept with the next job
            assert server.run(script, pickle.dumps(None), environment={}) == 0
        else:
            (tmp_path / "imported").unlink()
            other = tmp_path / "other.py"
            other.write_text(script.read_text().replace("'imported'", "'other'"))
            wait_until_it_sleeps(server._process.pid)
            assert server.run(other, pickle.dumps(None), environment={}) == 0
            assert (tmp_path / "found").read_text() == seen
            assert not (tmp_path / "imported").exists()
        server.close()


def test_the_server_imports_for_the_next_scripts_only(server, tmp_path):
    record, scripts = tmp_path / "record", [tmp_path / f"ahead{number}.py" for number in range(AHEAD + 3)]
    for script in scripts:
        script.write_text(f"open({str(record)!r}, 'a').write('{script.stem} ')\n")
    server.expect(scripts)
    wait_until_it_sleeps(server._process.pid)
    assert record.read_text().split() == [script.stem for script in scripts[:AHEAD]]
    assert server.run(scripts[1], pickle.dumps(None), environment={}) == 0
    wait_until_it_sleeps(server._process.pid)
    seen = [script.stem for script in [*scripts[:AHEAD], scripts[1], *scripts[AHEAD : 2 + AHEAD]]]
    assert sorted(record.read_text().split()) == sorted(seen)


@dataclass(frozen=True)
class Rule:
    script: str | None
    basedir: str


@dataclass(frozen=True)
class Job:
    rule: Rule
    name: str = ""


def test_scripts_are_expected_in_the_order_of_their_jobs(tmp_path):
    rules = {}
    for name in ("last", "first", "between", "shell"):
        (tmp_path / f"{name}.py").touch()
        rules[name] = Rule(None if name == "shell" else f"{name}.py", str(tmp_path))
    jobs = {name: Job(rule) for name, rule in rules.items()}
    told = []
    script = SimpleNamespace(server=lambda: SimpleNamespace(expect=told.extend))
    expect_scripts(
        script,
        {
            jobs["last"]: [jobs["between"], jobs["shell"]],
            jobs["first"]: [],
            jobs["between"]: [jobs["first"], Job(rules["between"], "of another product")],
            jobs["shell"]: [jobs["between"]],
        },
    )
    assert [path.name for path in told] == ["first.py", "between.py", "last.py"]
    told.clear()
    # a catalogue that another product is aligned with: rules wait for each other, jobs do not
    catalogue, alignment = Job(rules["first"]), Job(rules["last"], "of another filter")
    expect_scripts(script, {Job(rules["last"]): [], catalogue: [Job(rules["last"])], alignment: [catalogue]})
    assert [path.name for path in told] == ["last.py", "first.py"]
    expect_scripts(print, jobs)  # without a server
