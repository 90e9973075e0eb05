"""What the `dns` scenario measures: cluster names answered from what each server has itself, asked by dnsperf; started for it alone."""

import os
import re

import targets
from processes import Failure, find, need

#: The first port of the servers, one each.
FIRST_PORT = 7301
#: Services with one address, and those with an address for each of three Pods.
SERVICES, HEADLESS = 1000, 100
DOMAIN = "cluster.local"
#: Questions that dnsperf has under way at once, and sockets that it asks from.
OUTSTANDING, SOCKETS = 100, 20


def cluster_ip(service):
    return f"10.96.{1 + service // 250}.{1 + service % 250}"


def pod_ip(service, pod):
    return f"10.244.{1 + service}.{1 + pod}"


def records():
    """Name and address, of everything that the servers know."""
    for service in range(SERVICES):
        yield f"web-{service}.default.svc.{DOMAIN}", cluster_ip(service)
    for service in range(HEADLESS):
        for pod in range(3):
            yield f"db-{service}.default.svc.{DOMAIN}", pod_ip(service, pod)
            yield f"db-{pod}.db-{service}.default.svc.{DOMAIN}", pod_ip(service, pod)


def write_questions(path):
    """As clients in a cluster ask: mostly addresses that are there, some of the other family, some names that are not."""
    with open(path, "w") as file:
        for service in range(SERVICES):
            file.write(f"web-{service}.default.svc.{DOMAIN} A\n")
            if service % 2 == 0:
                file.write(f"web-{service}.default.svc.{DOMAIN} AAAA\n")
            if service % 10 == 0:
                file.write(f"db-{service // 10}.default.svc.{DOMAIN} A\n")
                file.write(f"db-1.db-{service // 10}.default.svc.{DOMAIN} A\n")
                file.write(f"missing-{service}.default.svc.{DOMAIN} A\n")


class _Server(targets.Target):
    protocol = "udp"
    takes_bulk = False
    takes_other_backends = False
    has_backend = False
    #: Whether it knows the names, and may be checked.
    knows_names = True


class _Ringway(_Server, targets.Ringway):
    def command(self):
        path = os.path.join(self.place.folder, f"{self.instance}-names.yaml")
        with open(path, "w") as file:
            for service in range(SERVICES):
                file.write(_SERVICE.format(name=f"web-{service}", address=cluster_ip(service)))
            for service in range(HEADLESS):
                file.write(_SERVICE.format(name=f"db-{service}", address="None"))
                file.write(_SLICE.format(name=f"db-{service}", endpoints="".join(
                    f"- {{addresses: [{pod_ip(service, pod)}], hostname: db-{pod}}}\n" for pod in range(3))))
        self.socket = os.path.join(self.place.folder, f"{self.instance}.sock")
        return [
            self.place.tools.ringway, "run", "--engine", self.engine, "--workers", "1", "--pin", "off", "--host-network", "off",
            "--state-directory", "none", "--admin-listen", "none", "--admin-socket", self.socket, "--dns-upstream", "none",
            "--dns-listen", f"127.0.0.1:{self.port}", path]


class RingwayUring(_Ringway, targets.RingwayUring):
    pass


class RingwayEpoll(_Ringway, targets.RingwayEpoll):
    pass


class Unbound(_Server):
    name = "unbound"
    title = "unbound"

    @classmethod
    def missing(cls, tools):
        return None if find("unbound") else "there is no unbound"

    @classmethod
    def version(cls, tools):
        return [need("unbound"), "-V"]

    def command(self):
        data = "".join(f'    local-data: "{name}. 5 IN A {address}"\n' for name, address in records())
        return [need("unbound"), "-d", "-c", self.place.render("unbound.conf", self.instance, port=self.port, domain=DOMAIN, data=data)]


class Dnsmasq(_Server):
    name = "dnsmasq"
    title = "dnsmasq"

    @classmethod
    def missing(cls, tools):
        return None if find("dnsmasq") else "there is no dnsmasq"

    @classmethod
    def version(cls, tools):
        return [need("dnsmasq"), "--version"]

    def command(self):
        data = "".join(f"host-record={name},{address}\n" for name, address in records())
        path = self.place.render("dnsmasq.conf", self.instance, port=self.port, domain=DOMAIN, data=data)
        return [need("dnsmasq"), "--keep-in-foreground", f"--conf-file={path}"]


class BareLoop(_Server):
    """What the kernel's way through a socket takes alone: the same answer for everybody."""

    name = "reference-dns"
    title = "bare C loop"
    knows_names = False
    is_peer = False

    @classmethod
    def missing(cls, tools):
        return None if tools.dns_reference else "it does not build"

    def command(self):
        return [self.place.tools.dns_reference, str(self.port)]


ALL = [RingwayUring, RingwayEpoll, Unbound, Dnsmasq, BareLoop]


def ask(bench, target, questions, rate=None):
    """One thread of dnsperf; with a rate an open loop, and the time that each answer took."""
    command = [
        need("dnsperf"), "-s", "127.0.0.1", "-p", str(target.port), "-d", questions, "-l", f"{bench.seconds:g}", "-T", "1",
        "-c", str(SOCKETS), "-q", str(OUTSTANDING if rate is None else 10 * OUTSTANDING), "-t", "1",
        *([] if rate is None else ["-Q", f"{rate:.0f}", "-v"])]
    output, cpu = bench.clients.run("dnsperf", target, command, bench.seconds)
    found = {name: float(value) for name, value in re.findall(r"^\s*(Queries \w+|Run time \(s\)):\s+([\d.]+)", output, re.MULTILINE)}
    if not found.get("Queries sent"):
        raise Failure(f"dnsperf printed no figures: {output.strip()[-200:]}")
    codes = dict(re.findall(r"(\w+) \d+ \(([\d.]+)%\)", output.partition("Response codes:")[2].partition("\n")[0]))
    sample = {
        "operations": found["Queries completed"], "seconds": found["Run time (s)"], "client_cpu_seconds": cpu, "errors": {},
        "loss_share": found["Queries lost"] / found["Queries sent"]}
    if wrong := {code: 1 for code in codes if code not in ("NOERROR", "NXDOMAIN")}:
        sample["errors"] = wrong
    if rate is not None:
        took = sorted(float(line.rsplit(None, 1)[1]) for line in output.splitlines() if line.startswith("> NOERROR"))
        if took:
            sample["latency_p50_microseconds"] = took[len(took) // 2] * 1e6
            sample["latency_p99_microseconds"] = took[len(took) * 99 // 100] * 1e6
    return sample


def dns(bench):
    """Answers from what a server knows itself: how many for a second of its CPU, how late at half the rate, and how many are lost."""
    with bench.name_targets() as (played, folder):
        questions = os.path.join(folder, "questions")
        write_questions(questions)
        for target in played:
            if target.knows_names:
                _check(bench, target)
        asked = bench.measure(
            "dns", f"Cluster names, {SERVICES + HEADLESS:,} Services, over UDP: {OUTSTANDING} questions under way",
            lambda target, turn: ask(bench, target, questions), played)
        reached = {found["name"]: found["operations_per_second"] for found in asked["targets"]}
        if not reached:
            return
        base = "unbound" if "unbound" in reached else max(reached, key=reached.get)
        rate = reached[base] / 2
        bench.measure(
            "dns half rate", f"Cluster names: {rate:,.0f} questions/s, open loop (half of what {base} reached)",
            lambda target, turn: ask(bench, target, questions, rate), played, relate=_loss_over_unbound)


def _check(bench, target):
    """All must say the same before anybody is measured."""
    for name, kind, wanted in (
            (f"web-7.default.svc.{DOMAIN}", "A", [cluster_ip(7)]), (f"web-7.default.svc.{DOMAIN}", "AAAA", []),
            (f"db-3.default.svc.{DOMAIN}", "A", [pod_ip(3, pod) for pod in range(3)])):
        said = bench.processes.run(
            [need("dig"), "+short", "+tries=2", "-p", str(target.port), "@127.0.0.1", name, kind], target.place.namespace).split()
        if sorted(said) != sorted(wanted):
            raise Failure(f"{target.title} answers {said} for {name} {kind}, and not {wanted}")


def _loss_over_unbound(turn):
    for sample in turn.values():
        if "unbound" in turn:
            sample["loss_over_unbound"] = sample["loss_share"] - turn["unbound"]["loss_share"]


_SERVICE = """apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{clusterIP: {address}, ports: [{{name: http, port: 80}}]}}
---
"""
_SLICE = """apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: 80}}]
endpoints:
{endpoints}---
"""
