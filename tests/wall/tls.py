"""What sslyze and testssl.sh say of a listener."""

import json
import re
import subprocess
from pathlib import Path

from bench import ROOT, Failed, is_there

SSLYZE = ROOT / "target/wall/bin/sslyze"
# What is said of the certificate, which is self-signed and for 30 days, and of this machine: it belongs to the run.
OF_THE_RUN = ("certificate_path_validation", "cert_", "DNS_CAA", "engine_problem")


def sslyze(port, folder):
    """Protocols, cipher suites, and where it departs from Mozilla's "intermediate"."""
    if not SSLYZE.exists():
        raise Failed(f"{SSLYZE} is missing; packaging/setup.sh wall brings it")
    out = folder / "sslyze.json"
    done = subprocess.run([SSLYZE, "--mozilla_config=intermediate", f"--json_out={out}", f"127.0.0.1:{port}"],
                          capture_output=True, text=True, check=False, timeout=300)
    scan = json.loads(out.read_text())["server_scan_results"][0]["scan_result"]
    suites = {}
    for command, found in scan.items():
        if command.endswith("_cipher_suites") and found["result"]:
            names = [suite["cipher_suite"]["name"] for suite in found["result"]["accepted_cipher_suites"]]
            if names:
                suites[command.removesuffix("_cipher_suites")] = names
    verdict = done.stdout.split("COMPLIANCE AGAINST", 1)[-1]
    departures = re.findall(r"^\s+\* (.*)$", verdict, re.MULTILINE)
    if not departures and "OK - Compliant" not in verdict:
        raise Failed(f"sslyze gave no verdict: {verdict[-300:]}")
    return {"suites": suites, "departures": [departure for departure in departures if not departure.startswith(OF_THE_RUN)]}


def testssl(port, folder):
    """Findings of testssl.sh above "low", and its grade."""
    tool = next((name for name in ("testssl", "testssl.sh") if is_there(name)), None)
    if tool is None:
        raise Failed("testssl.sh is missing; packaging/setup.sh wall brings it")
    out = Path(folder) / "testssl.json"
    out.unlink(missing_ok=True)
    subprocess.run([tool, "--quiet", "--warnings", "off", "--color", "0", "--ip", "one", "--jsonfile", out, "-p", "-s", "-f", "-U", "-S",
                    f"127.0.0.1:{port}"], capture_output=True, text=True, check=False, timeout=600)
    found = json.loads(out.read_text())
    return {"findings": [f"{one['severity']}: {one['id']}: {one['finding']}" for one in found
                         if one["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN") and not one["id"].startswith(OF_THE_RUN)]}
