"""The harness's arithmetic and reports, on made-up samples. Scripts/gates runs them."""

import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import figures  # noqa: E402
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
        self.assertEqual(drawn, ["keepalive-c-64-64-b.svg"])


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
