"""What the `udp` scenario measures: the same targets with a port for UDP each, in front of servers that echo; started for it alone."""

import targets
from targets import Place
from processes import Failure, wait_until_open

#: The reference knows no others.
ECHO_PORTS = [9101, 9102, 9103]
#: The first port of the targets, one for requests each; and one a hundred above for bulk.
FIRST_PORT = 7201


def start_echo(place: Place):
    """One process that answers on all ports of the backends."""
    if not place.tools.datagrams:
        raise Failure("Benchmarks/udp/datagrams.c does not build")
    process = place.processes.start([place.tools.datagrams, "echo", *map(str, ECHO_PORTS)], place.namespace, name="echo")
    for port in ECHO_PORTS:
        wait_until_open(port, process, place.namespace, place.processes, protocol="udp")
    place.backends["udp"] = process
    return process


class Direct(targets.Direct):
    protocol = "udp"


class RingwayUring(targets.RingwayUring):
    protocol = "udp"


class RingwayEpoll(targets.RingwayEpoll):
    protocol = "udp"


class NginxStream(targets.NginxStream):
    protocol = "udp"
    template = "nginx-udp.conf"


class Envoy(targets.Envoy):
    protocol = "udp"
    template = "envoy-udp.yaml"


class KernelNAT(targets.KernelNAT):
    protocol = "udp"


class Reference(targets.Reference):
    """The bare C loop for datagrams. One answer is read from a socket at a time: nothing for bulk, nor for an open loop."""

    protocol = "udp"
    name = "reference-udp"
    title = "bare C loop for UDP"

    @classmethod
    def missing(cls, tools):
        return None if tools.reference_udp else "its source is not beside this checkout, or it does not build"

    def command(self):
        return [self.place.tools.reference_udp, "proxy", str(self.port)]


#: HAProxy has none.
ALL = [Direct, RingwayUring, RingwayEpoll, NginxStream, Envoy, KernelNAT, Reference]
