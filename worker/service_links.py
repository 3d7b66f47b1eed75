"""Variables that Kubernetes makes for the services of a namespace, and that look like settings of ours.

A service `connects` brings CONNECTS_SERVICE_HOST and CONNECTS_PORT=tcp://10.0.0.1:80 into every pod, and a service
`connects-http` the variable CONNECTS_HTTP_PORT, which is the name of a setting.
"""

import re
from collections.abc import Mapping
from typing import Final

_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://\S+", re.IGNORECASE)
_LINK: Final = re.compile(
    r"[A-Z0-9_]+_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)


def service_links(environment: Mapping[str, str], prefix: str) -> list[str]:
    """The names with that prefix that Kubernetes made, sorted."""
    return sorted(name for name, value in environment.items() if name.startswith(prefix) and _is_link(name, value))


def hint(links: list[str]) -> str:
    """One line about them, for people; empty without any."""
    if not links:
        return ""
    others = len(links) - 1
    named = f"{links[0]} is" if not others else f"{links[0]} and {others} other name{'s' * (others > 1)} are"
    return (
        f"{named} from a Kubernetes service, not set by anybody, and ignored here. "
        "`enableServiceLinks: false` in the pod's spec leaves such names out."
    )


def _is_link(name: str, value: str) -> bool:
    return bool(_LINK.fullmatch(name) or (name.endswith("_PORT") and _ADDRESS.fullmatch(value)))
