"""Looks for known vulnerabilities in what the worker installs. Where the data cannot be reached, it says so."""

import json
import subprocess
import sys

AUDIT = ("pip_audit", "--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")


def main(files: list[str]) -> int:
    arguments = [part for name in files for part in ("--requirement", name)]
    command = [sys.executable, "-m", *AUDIT, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
    try:
        audited = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        audited = []
    known = [found for found in audited if "skip_reason" not in found]
    if not known:
        reasons = [found["skip_reason"] for found in audited] or ran.stderr.strip().splitlines()[-1:]
        why = str(reasons[0])[:200] if reasons else "no answer"
        print(f"audit skipped: the data on vulnerabilities cannot be reached here ({why})")
        return 0
    vulnerable = [found for found in known if found["vulns"]]
    for found in vulnerable:
        ids = ", ".join(vulnerability["id"] for vulnerability in found["vulns"])
        print(f"{found['name']} {found['version']}: {ids}")
    print(f"audit: {len(known)} of {len(audited)} dependencies looked up, {len(vulnerable)} with known vulnerabilities")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
