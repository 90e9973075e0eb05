"""The harness's arithmetic and reports, on made-up samples. Scripts/gates runs them."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import aims  # noqa: E402
import figures  # noqa: E402
import machine  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402


def sample(operations, cpu, seconds=2.0, **more):
    return {"operations": operations, "seconds": seconds, "cpu_seconds": cpu, "errors": {}} | more


def scenario(rounds, name="keepalive c=64 64 B", **more):
    summary = figures.summarise(rounds)
    targets = []
    for target, values in summary.items():
        spread = {figure: value for figure, value in values.items() if isinstance(value, dict) and "median" in value}
        targets.append(
            {"name": target, "title": target, "errors": 0, "errors_by_kind": {}, "spread": spread, "ratios": values["ratios"]}
            | {figure: value["median"] for figure, value in spread.items()})
    return {"name": name, "title": name, "rounds": len(rounds), "seconds": 2, "failures": {}, "targets": targets} | more


class Arithmetic(unittest.TestCase):
    def test_cost_is_time_over_operations(self):
        found = figures.figures_of(sample(100_000, 1.25, systemCalls=230_000, allocations=0, machine_seconds=3.0))
        self.assertEqual(found["operations_per_second"], 50_000)
        self.assertAlmostEqual(found["cpu_microseconds_per_operation"], 12.5)
        self.assertAlmostEqual(found["machine_cpu_microseconds_per_operation"], 30)
        self.assertAlmostEqual(found["system_calls_per_operation"], 2.3)
        self.assertEqual(found["allocations_per_operation"], 0)

    def test_bytes_are_counted_in_gigabytes_of_ten_to_the_ninth(self):
        found = figures.figures_of(sample(4_000_000_000, 0.8, bytes=4_000_000_000))
        self.assertEqual(found["bytes_per_second"], 2e9)
        self.assertAlmostEqual(found["cpu_seconds_per_gigabyte"], 0.2)
        self.assertNotIn("cpu_microseconds_per_operation", found)

    def test_without_a_process_there_is_no_cpu_time(self):
        found = figures.figures_of({"operations": 10, "seconds": 1, "errors": {}, "machine_seconds": 0.5})
        self.assertNotIn("cpu_microseconds_per_operation", found)
        self.assertIn("machine_cpu_microseconds_per_operation", found)

    def test_nothing_done_has_no_cost(self):
        found = figures.figures_of(sample(0, 0.1, errors_seen=1) | {"errors": {"connect": 7}})
        self.assertNotIn("cpu_microseconds_per_operation", found)
        self.assertEqual(found["errors"], 7)

    def test_ratios_are_of_pairs_and_not_of_medians(self):
        # The machine slows down threefold in the third round, for both alike: every pair says 0.5, medians would not.
        rounds = [
            {"ringway-epoll": sample(100, 1e-3), "haproxy": sample(100, 2e-3)},
            {"ringway-epoll": sample(100, 1.1e-3), "haproxy": sample(100, 2.2e-3)},
            {"ringway-epoll": sample(100, 3e-3), "haproxy": sample(100, 6e-3)},
        ]
        found = figures.summarise(rounds)["ringway-epoll"]["ratios"]["haproxy"]["cpu_microseconds_per_operation"]
        for part in ("minimum", "median", "maximum"):
            self.assertAlmostEqual(found[part], 0.5)

    def test_a_round_that_one_of_two_missed_makes_no_pair(self):
        rounds = [
            {"a": sample(100, 1e-3), "b": sample(100, 2e-3)}, {"a": sample(100, 9e-3)}, {"a": sample(100, 1e-3), "b": sample(100, 1e-3)}]
        found = figures.summarise(rounds)
        self.assertEqual(found["b"]["rounds"], 2)
        self.assertEqual(found["a"]["ratios"]["b"]["cpu_microseconds_per_operation"], {"minimum": 0.5, "median": 0.75, "maximum": 1.0})


class Report(unittest.TestCase):
    def test_where_we_lose_names_what_is_behind_and_only_that(self):
        found = report.where_we_lose([scenario([
            {"ringway-epoll": sample(100, 2e-3), "haproxy": sample(100, 1e-3), "envoy": sample(100, 4e-3), "direct": sample(900, 0)}])])
        behind = {(theirs, figure) for _, _, _, theirs, figure, *_ in found}
        self.assertEqual(behind, {("haproxy", "cpu_microseconds_per_operation")})
        self.assertAlmostEqual(found[0][0], 2)

    def test_less_throughput_is_a_loss_too(self):
        found = report.where_we_lose([scenario([{"ringway-epoll": sample(50, 1e-3), "haproxy": sample(100, 2e-3)}])])
        self.assertEqual([figure for *_, figure, _, _ in found], ["operations_per_second"])
        self.assertAlmostEqual(found[0][0], 2)

    def test_any_error_stands_in_the_headline(self):
        wrong = scenario([{"haproxy": sample(100, 1e-3)}])
        wrong["targets"][0] |= {"errors": 3, "errors_by_kind": {"read": 3}}
        self.assertEqual(report.headline_of_errors([wrong]), ["keepalive c=64 64 B: haproxy: 3 read"])
        self.assertEqual(report.headline_of_errors([wrong | {"errors_are_figures": True}]), [])
        self.assertEqual(len(report.headline_of_errors([wrong | {"failures": {"nginx": "it ended"}}])), 2)

    def test_tables_have_as_many_cells_in_each_row(self):
        table = report.rows(scenario([{"ringway-epoll": sample(50, 1e-3), "haproxy": sample(100, 2e-3), "direct": sample(300, None)}]))
        self.assertEqual({len(row) for row in table}, {len(table[0])})
        self.assertIn("CPU us/request / haproxy", table[0])
        self.assertIn("requests/s / direct", table[0])

    def test_the_headline_takes_the_latency_that_was_measured(self):
        def measured(name, p99):
            return scenario([{"haproxy": {"operations": 9, "seconds": 1, "errors": {}, "latency_p99_microseconds": p99}}], name)

        refused = {"name": "latency 50%", "targets": []}
        both = report.headline({"scenarios": [measured("latency 30%", 111), measured("latency 50%", 555)]})
        self.assertIn("| p99 us at half load |", both)
        self.assertIn("| haproxy | 555 |", both)
        one = report.headline({"scenarios": [measured("latency 30%", 111), refused]})
        self.assertIn("| p99 us at 30 % load |", one)
        self.assertIn("| haproxy | 111 |", one)

    def test_a_report_is_written_whole(self):
        one = scenario([{"ringway-epoll": sample(50, 1e-3), "haproxy": sample(100, 2e-3)}])
        refused = {"name": "latency 70%", "title": "Latency", "refused": "the client is slow", "rounds": 0, "failures": {}, "targets": []}
        document = {
            "command": "Scripts/bench", "date": "2026-01-02 03:04 UTC", "versions": {"wrk": "4"}, "left_out": {}, "configurations": {},
            "clients": ["wrk -t1"], "scenarios": [one, refused],
            "machine": {
                "cpu": "x", "cpus": 2, "memory_gibibytes": 4, "kernel": "6", "congestion_control": "cubic", "commit": "abc"},
        }
        with tempfile.TemporaryDirectory() as root:
            os.mkdir(os.path.join(root, "Benchmarks"))
            with open(os.path.join(root, "README.md"), "w") as file:
                file.write("before\n<!-- Scripts/bench writes from here -->\nold\n<!-- to here -->\nafter\n")
            report.write_report(json.loads(json.dumps(document)), root)
            with open(os.path.join(root, "README.md")) as file:
                readme = file.read()
            with open(os.path.join(root, "Benchmarks", "REPORT.md")) as file:
                text = file.read()
            drawn = os.listdir(os.path.join(root, "Benchmarks", "report"))
        self.assertTrue(readme.startswith("before\n") and readme.endswith("after\n"))
        self.assertNotIn("old", readme)
        self.assertIn("| ringway-epoll | 20.00 |", readme)
        self.assertIn("Not measured: the client is slow.", text)
        self.assertIn("## Where we lose", text)
        self.assertIn("| CPU per request over HAProxy's | epoll | keepalive c=64 64 B | <= 1 | 1.00 (1.00-1.00) | met |", text)
        self.assertEqual(drawn, ["keepalive-c-64-64-b.svg"])


class Aims(unittest.TestCase):
    def test_the_median_decides_and_other_rounds_are_told(self):
        most = aims.Aim("", "a", "s", "f", most=1.0)
        least = aims.Aim("", "a", "s", "f", least=1.0, hoped=1.1)
        for aim, low, middle, high, expected in (
                (most, 0.8, 0.9, 1.0, "met"), (most, 0.8, 1.0, 1.2, "met, not in all rounds"),
                (most, 0.9, 1.01, 1.2, "not met, not in all rounds"), (most, 1.1, 1.2, 1.3, "not met"),
                (least, 1.0, 1.05, 1.2, "met"), (least, 1.0, 1.1, 1.2, "met, as hoped"), (least, 0.7, 0.8, 0.9, "not met"),
                (aims.Aim("", "a", "s", "f"), 1, 2, 3, "–")):
            self.assertEqual(aims.verdict(aim, {"minimum": low, "median": middle, "maximum": high}), expected)

    def test_a_ratio_is_of_pairs_and_a_plain_figure_is_the_engine_s_own(self):
        rounds = [
            {"ringway-io_uring": sample(100, cpu * 0.5, systemCalls=25, allocations=0), "haproxy": sample(100, cpu)}
            for cpu in (1e-3, 2e-3, 9e-3)]
        checked = {(one["subject"], one["engine"]): one for one in aims.check([scenario(rounds)]) if "median" in one}
        self.assertAlmostEqual(checked["CPU per request over HAProxy's", "ringway-io_uring"]["maximum"], 0.5)
        self.assertEqual(checked["CPU per request over HAProxy's", "ringway-io_uring"]["verdict"], "met, as hoped")
        self.assertEqual(checked["system calls per request", "ringway-io_uring"]["median"], 0.25)
        self.assertEqual(checked["allocations per request", "ringway-io_uring"]["verdict"], "met")
        # The other engine was not played, and neither was the C loop.
        self.assertEqual({engine for _, engine in checked}, {"ringway-io_uring"})
        self.assertNotIn(("CPU per request over the C loop's", "ringway-io_uring"), checked)

    def test_what_was_not_measured_is_listed_with_the_reason(self):
        refused = {"name": "latency 50%", "title": "Latency", "refused": "the client is slow", "rounds": 0, "failures": {}, "targets": []}
        checked = aims.check([refused])
        self.assertEqual({one["verdict"] for one in checked}, {"not measured"})
        table = aims.rows(checked)
        self.assertEqual({len(row) for row in table}, {6})
        self.assertEqual([row[-1] for row in table[1:]], ["not measured: the client is slow"] * 2)
        others = {aim.scenario for aim in aims.AIMS} - {"latency 50%"}
        self.assertEqual([name for name in others if name not in aims.left_out(checked)], [])
        self.assertNotIn("latency 50%", aims.left_out(checked))
        self.assertIn("system calls per request (keepalive c=64 64 B on io_uring)", aims.left_out(checked))


class Placement(unittest.TestCase):
    def test_a_target_has_a_cpu_for_itself_for_a_while(self):
        cpus = os.sched_getaffinity(0)
        with subprocess.Popen(["sleep", "60"]) as target:
            try:
                with machine.apart([target.pid]):
                    if len(cpus) > 1:
                        self.assertEqual(len(os.sched_getaffinity(target.pid)), 1)
                        self.assertEqual(os.sched_getaffinity(0), cpus - os.sched_getaffinity(target.pid))
                self.assertEqual([os.sched_getaffinity(target.pid), os.sched_getaffinity(0)], [cpus, cpus])
            finally:
                target.kill()


class Plots(unittest.TestCase):
    def test_plots_are_whole_pages(self):
        made = scenario([{"ringway-epoll": sample(50, 1e-3), "a <b> & c": sample(100, 2e-3)}])
        for target in made["targets"]:
            target["percentiles"] = [[0, 50], [50, 100], [99, 900], [99.9, 4000], [100, 20_000]]
        for name, text in plots.of(made, "cpu_microseconds_per_operation", report._FORMATS):
            self.assertTrue(name.endswith(".svg"))
            xml.etree.ElementTree.fromstring(text)


if __name__ == "__main__":
    unittest.main()
