"""Environment variables with the Services of a pod's namespace, named as by Docker's links.

Real pods have them too: a program whose settings collide with them (`LORAPOOL_GATEWAY_PORT=tcp://...`) should fail
here as it would there.
"""

from collections.abc import Iterable

from lorapool_common.kube.resources import Manifest


def service_variables(services: Iterable[Manifest]) -> dict[str, str]:
    """Several for each Service that has an address."""
    found: dict[str, str] = {}
    for service in services:
        address = service["spec"].get("clusterIP")
        ports = service["spec"].get("ports") or []
        # The API's own is set apart, to where it can be reached.
        if address and address != "None" and ports and service["metadata"]["name"] != "kubernetes":
            found |= _variables(service["metadata"]["name"], address, ports)
    return found


def _variables(name: str, address: str, ports: list[Manifest]) -> dict[str, str]:
    prefix = _upper(name)
    first = ports[0]
    found = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first["port"]),
        f"{prefix}_PORT": _url(address, first),
    }
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{_upper(port['name'])}"] = str(port["port"])
        protocol = port.get("protocol", "TCP")
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        found |= {
            link: _url(address, port),
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port["port"]),
            f"{link}_ADDR": address,
        }
    return found


def _url(address: str, port: Manifest) -> str:
    return f"{port.get('protocol', 'TCP').lower()}://{address}:{port['port']}"


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
