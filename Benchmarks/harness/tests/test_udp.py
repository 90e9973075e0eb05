"""The load of `udp` against a relay that loses, repeats and cuts datagrams, and the figures made of it. Scripts/gates runs them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import aims  # noqa: E402
import clients  # noqa: E402
import processes  # noqa: E402
import scenarios  # noqa: E402
from test_figures import sample, scenario  # noqa: E402


def bound():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind(("127.0.0.1", 0))
    return made


def free_port():
    with bound() as made:
        return made.getsockname()[1]


class Relay:
    """Answers, or sends on to a port, what `change` makes of the n-th datagram: any number of datagrams."""

    def __init__(self, change, to=None):
        self.socket = bound()
        self.port = self.socket.getsockname()[1]
        self.seen = 0
        self._change, self._to = change, to
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while True:
            data, client = self.socket.recvfrom(65536)
            if data == b"end":
                return
            self.seen += 1
            for made in self._change(self.seen, data):
                self.socket.sendto(made, ("127.0.0.1", self._to) if self._to else client)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with bound() as last:
            last.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join()
        self.socket.close()


@unittest.skipUnless(shutil.which("cc"), "there is no C compiler")
class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.program = os.path.join(cls.folder, "datagrams")
        source = os.path.join(HERE, "..", "..", "udp", "datagrams.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", cls.program, source], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def play(self, *words):
        done = subprocess.run([self.program, *map(str, words)], check=True, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)

    def test_an_echo_answers_every_request(self):
        ports = [free_port(), free_port()]
        with subprocess.Popen([self.program, "echo", *map(str, ports)]) as server:
            try:
                for port in ports:
                    processes.wait_until_open(port, server, None, None, protocol="udp")
                    found = self.play("closed", port, 8, 0.2)
                    self.assertGreater(found["answered"], 8)
                    self.assertEqual([found[kind] for kind in ("lost", "twice", "foreign", "refused", "unsent")], [0] * 5)
            finally:
                server.kill()

    def test_an_open_loop_knows_what_was_lost_and_what_came_twice(self):
        with Relay(lambda index, data: [] if index % 10 == 0 else [data, data] if index % 10 == 1 else [data]) as relay:
            found = self.play("rate", relay.port, 4, 0.5, 400)
        self.assertEqual((found["sent"], found["answered"], found["lost"], found["twice"], found["foreign"]), (200, 180, 20, 20, 0))
        self.assertGreater(found["latency_microseconds"]["p50"], 0)

    def test_a_closed_loop_goes_on_after_a_loss(self):
        with Relay(lambda index, data: [] if index == 2 else [data]) as relay:
            found = self.play("closed", relay.port, 1, 1.5)
            self.assertEqual(found["answered"] + found["lost"], relay.seen)
        self.assertEqual(found["lost"], 1)
        self.assertGreater(found["answered"], 1)

    def test_an_answer_that_is_cut_or_another_s_is_none(self):
        with Relay(lambda index, data: [data[:-1]] if index % 2 else [data[:8] + bytes([data[8] ^ 1]) + data[9:]]) as relay:
            found = self.play("rate", relay.port, 2, 0.2, 100)
        self.assertEqual((found["answered"], found["lost"], found["foreign"]), (0, 20, 20))

    def test_where_nobody_answers_it_ends_all_the_same(self):
        found = self.play("closed", free_port(), 2, 0.2)
        self.assertEqual(found["answered"], 0)
        self.assertGreater(found["refused"], 0)

    def test_bulk_arrives_whole_joined_and_apart(self):
        for words in (["joined"], ["single"], ["joined", "apart"]):
            backend = free_port()
            found = self.play("bulk", backend, backend, 0.2, *words)
            self.assertEqual(found["bytes"], found["datagrams"] * 1200)
            self.assertEqual((found["twice"], found["foreign"]), (0, 0), words)
            self.assertGreater(found["datagrams"], 54)

    def test_bulk_counts_what_arrived_and_not_what_was_sent(self):
        backend, made = free_port(), []

        def change(index, data):
            made.append([] if index % 10 == 0 else [data[:-1]] if index % 10 == 1 else [data, data] if index % 10 == 2 else [data])
            return made[-1]

        with Relay(change, backend) as relay:
            found = self.play("bulk", relay.port, backend, 0.3, "single")
        self.assertLessEqual(relay.seen, found["sent"])
        good = sum(1 for sent in made if sent and len(sent[0]) == 1200)
        self.assertLessEqual(found["datagrams"], good)
        self.assertEqual(found["lost"], found["sent"] - found["datagrams"])
        self.assertGreaterEqual(found["lost"], sum(1 for sent in made if not sent))
        self.assertGreater(found["twice"], 0)
        self.assertGreater(found["foreign"], 0)

    def test_a_client_s_line_is_a_sample(self):
        target = types.SimpleNamespace(place=types.SimpleNamespace(namespace=None), port=0, bulk_port=0)
        running = processes.Processes(self.folder)
        client = clients.Clients(running, types.SimpleNamespace(load=None, datagrams=self.program))
        with Relay(lambda index, data: [] if index % 4 == 0 else [data, data] if index == 1 else [data]) as relay:
            target.port = relay.port
            found = client.datagrams_rate(target, 2, 0.2, 200)
        self.assertEqual((found["operations"], found["loss_share"], found["errors"]), (30, 0.25, {"twice": 1}))
        self.assertEqual(list(client.commands), ["datagrams rate"])


class Figures(unittest.TestCase):
    def test_only_an_open_port_of_the_protocol_counts(self):
        with bound() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(listener.getsockname())
            port = listener.getsockname()[1]
            self.assertTrue(processes.is_listening(port, os.getpid(), "udp"))
            self.assertFalse(processes.is_listening(port, os.getpid()))
            self.assertFalse(processes.is_listening(client.getsockname()[1], os.getpid(), "udp"))

    def test_bytes_for_a_second_of_cpu_are_those_that_arrived(self):
        rounds = [{
            "ringway-epoll": sample(1, 0.5, bytes=3_000_000_000), "nginx": sample(1, 1.0, bytes=2_000_000_000),
            "direct": sample(1, None, bytes=9_000_000_000)}]
        scenarios._megabytes(rounds[0])
        self.assertNotIn("megabytes_per_cpu_second", rounds[0]["direct"])
        checked = self.measured(scenario(rounds, "udp bulk joined"))
        self.assertEqual([(one["subject"], one["median"], one["verdict"]) for one in checked], [
            ("UDP MB per CPU second over nginx's", 3.0, "met")])

    def test_loss_is_held_against_that_of_the_machine_in_the_same_round(self):
        rounds = [
            {"ringway-io_uring": sample(9, 1e-3, loss_share=0.5 + own), "direct": sample(9, None, loss_share=0.5)}
            for own in (0, 0.00005, 0.5)]
        for turn in rounds:
            scenarios._loss_over_direct(turn)
        checked = self.measured(scenario(rounds, "udp half rate"))
        self.assertEqual([one["verdict"] for one in checked], ["met, not in all rounds"])
        self.assertAlmostEqual(checked[0]["median"], 0.00005)

    def measured(self, one):
        return [found for found in aims.check([one]) if "median" in found]


if __name__ == "__main__":
    unittest.main()
