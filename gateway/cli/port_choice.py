"""Which ports `gateway up` takes: the asked ones if they are free; with `--auto-ports`, others for the taken ones."""

from __future__ import annotations

from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.triton.embedded.ports import LOOPBACK, Ports, check_free, is_free, pick_free

# Setting, what listens there, and the option that moves it.
PORT_OPTIONS = (
    ("port", "gateway", "--port"),
    ("triton_grpc_port", "Triton gRPC", "--grpc-port"),
    ("triton_http_port", "Triton HTTP", "--http-port"),
    ("triton_metrics_port", "Triton metrics", "--metrics-port"),
)


def triton_ports(settings: Settings) -> Ports:
    return Ports(grpc=settings.triton_grpc_port, http=settings.triton_http_port, metrics=settings.triton_metrics_port)


def chosen_ports(settings: Settings, *, auto: bool) -> Settings:
    """The settings with ports that can be listened on, and both of `triton_url` and `triton_http_url` naming the
    embedded Triton.

    Raises `EmbeddedTritonError` for a taken port, `ConfigurationError` for one that is given twice.
    """
    ports = {name: int(getattr(settings, name)) for name, _, _ in PORT_OPTIONS}
    if auto:
        ports = replaced_where_taken(ports, settings.host)
    refuse_same_port_twice(ports)
    for name, purpose, option in PORT_OPTIONS:
        check_free(ports[name], purpose=purpose, option=option, host=host_of(name, settings.host))
    grpc, http = (f"{LOOPBACK}:{ports[name]}" for name in ("triton_grpc_port", "triton_http_port"))
    return settings.model_copy(update={**ports, "triton_url": grpc, "triton_http_url": http})


def replaced_where_taken(ports: dict[str, int], gateway_host: str) -> dict[str, int]:
    spare = iter(pick_free(len(ports)))
    taken_by_us: set[int] = set()
    chosen = {}
    for name, port in ports.items():
        keep = port not in taken_by_us and port != 0 and is_free(port, host=host_of(name, gateway_host))
        chosen[name] = port if keep else next(spare)
        taken_by_us.add(chosen[name])
    return chosen


def refuse_same_port_twice(ports: dict[str, int]) -> None:
    by_port: dict[int, str] = {}
    options = {name: option for name, _, option in PORT_OPTIONS}
    for name, port in ports.items():
        if port in by_port:
            raise ConfigurationError(
                f"Port {port} is given twice: {options[by_port[port]]} and {options[name]}.",
                remedy="Give each its own port, or let --auto-ports choose.",
            )
        by_port[port] = name


def host_of(name: str, gateway_host: str) -> str:
    return gateway_host if name == "port" else LOOPBACK
