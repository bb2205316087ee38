"""What the measurements share: processes on their cores, what the kernel tells of them, certificates, settings of a run."""

import argparse
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where peers are that no Debian package brings; packaging/setup.sh compare puts them there.
VENV = ROOT / "target/peers"
PROXY_CPU, ORIGIN_CPU = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Where Debian has what is not for everybody's PATH.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", str(VENV / "bin")])


class Failed(Exception):
    """A measurement that says nothing."""


# --- processes --------------------------------------------------------------------------------------------------------


def on_core(core, command):
    """The command, pinned to that core where there is more than one."""
    if core not in os.sched_getaffinity(0):
        return [*map(str, command)]
    return ["taskset", "-c", str(core), *map(str, command)]


def is_there(command):
    return shutil.which(str(command)) is not None


class Stage:
    """A folder for the files of a run, and processes that end with it."""

    def __init__(self):
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-bench-")))
        # Workers of other users read the files, too.
        self.folder.chmod(0o755)
        (self.folder / "logs").mkdir()
        (self.folder / "logs").chmod(0o777)
        certificate(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return self._stack.__exit__(*raised)

    def start(self, name, core, command, port, env=None):
        """Runs a process until the end of the stage, and returns it when it listens."""
        told = self.folder / f"{name}.out"
        process = spawn(told, core, command, env)
        self._stack.callback(stop, process)
        try:
            wait_for_port(port, process)
        except Failed as error:
            raise Failed(f"{name}: {error}\n{told.read_text(errors='replace')[-2000:]}") from error
        return process


def spawn(output, core, command, env=None):
    """A process whose words go to a file."""
    with open(output, "ab") as file:
        return subprocess.Popen(on_core(core, command), stdout=file, stderr=subprocess.STDOUT,
                                env={**os.environ, **(env or {})})


_given = set()


def free_port():
    """A port that nobody listens at, and that was not given before: the system may name one twice."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def wait_for_port(port, process=None, patience=120):
    """Returns when something listens there."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process is not None and process.poll() is not None:
                raise Failed("it ended at once") from None
            time.sleep(0.02)
    raise Failed(f"nothing listens on port {port}")


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        for pid in pids_of(process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()


def ask(command, patience=None):
    """What a client on the core of the load prints."""
    done = subprocess.run(on_core(ORIGIN_CPU, command), capture_output=True, text=True, check=False, timeout=patience)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {done.stdout[-400:]}{done.stderr[-400:]}")
    return done.stdout


# --- what the kernel tells --------------------------------------------------------------------------------------------


def pids_of(root):
    """The process and all below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, open_ = [], [root]
    while open_:
        found.append(open_.pop())
        open_.extend(children.get(found[-1], []))
    return found


def cpu_seconds(pids):
    """User and system time that the processes have used, all threads."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pids):
    """Resident memory of the processes in bytes; pages that they share count for each."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in pids)


def raise_file_limit(wanted):
    """As many descriptors as can be had, for this process and those it starts, and how many those are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# --- files ------------------------------------------------------------------------------------------------------------


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return str(path)


def certificate(folder):
    """A self-signed ECDSA P-256 certificate: site.crt, site.key, and both in site.pem."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", folder / "site.key", "-out", folder / "site.crt"],
        check=True, capture_output=True)
    (folder / "site.pem").write_bytes((folder / "site.crt").read_bytes() + (folder / "site.key").read_bytes())


# --- the settings of a run --------------------------------------------------------------------------------------------


def settings(description, **defaults):
    """The parser of a script: what all of them take. `rounds`, `seconds` and so on are defaults, each a pair of the full
    figure and that of a quick run."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/portcullis"), help="the gateway's binary")
    parser.add_argument("--before", help="another build of the gateway, which takes its turns too")
    parser.add_argument("--load", default=str(ROOT / "target/release/examples/load"), help="our own load generator")
    parser.add_argument("--peers", default="", help="which, with commas between; all without it")
    parser.add_argument("--quick", action="store_true", help="only to see that everything works: the figures say nothing")
    for name, (full, _) in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(full), help=f"{full} without it")
    return parser


def parsed(parser, **defaults):
    """The settings of this run, and whether what every script needs is here."""
    args = parser.parse_args()
    for name, (full, quick) in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else full)
    for tool in ("nginx", "wrk", "h2load", "taskset", "openssl", args.binary, args.load):
        if not is_there(tool):
            sys.exit(f"{tool} is missing; `make compare` installs and builds everything")
    raise_file_limit(65_536)
    return args


def chosen(text, known):
    """The names in a list with commas, or all that are known."""
    names = [name for name in text.split(",") if name] or list(known)
    for name in names:
        if name not in known:
            sys.exit(f"{name!r} is none of {', '.join(known)}")
    return names


class Progress:
    """Says how far a run is and how long it will still take, after a first guess of the seconds that a turn takes."""

    def __init__(self, title, turns, seconds):
        self._title, self._turns, self._done, self._begin = title, turns, 0, time.monotonic()
        print(f"{title}: {turns} turns, about {span(turns * seconds)}", file=sys.stderr)

    def turn(self, what):
        """One turn begins."""
        passed = time.monotonic() - self._begin
        left = f", {span(passed / self._done * (self._turns - self._done))} left" if self._done else ""
        self._done += 1
        end = "\r\033[K" if sys.stderr.isatty() else "\n"
        if sys.stderr.isatty() or self._done % 10 == 1:
            print(f"{self._title}: {self._done} of {self._turns}{left}: {what}", end=end, file=sys.stderr, flush=True)


def span(seconds):
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def guarded(main):
    """Runs a script; a measurement that says nothing ends it with its reason."""
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
