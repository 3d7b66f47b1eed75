"""Record the manifests that helm renders now: `python -m tests.helm.record`. Then read what git says."""

import sys

import yaml

from tests.helm.chart import SETS, helm, recorded_file, rendered, values_of, without_files


def main() -> None:
    if helm() is None:
        sys.exit("helm was not found. TEST_HELM=$(.ci/helm) names one")
    for name in SETS:
        manifests = without_files(rendered(values_of(name)))
        text = yaml.safe_dump_all(manifests, sort_keys=False, width=120, explicit_start=True)
        recorded_file(name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}: {len(manifests)} manifests recorded\n")


if __name__ == "__main__":
    main()
