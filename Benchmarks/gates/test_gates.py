"""Tests of what the gates make of their figures. Scripts/gates runs them before it measures."""

import json
import unittest

import counting
import thresholds
from thresholds import Figure, MalformedThresholds, Threshold


def file(**gates):
    return {"comment": "c", "toolchain": {"swift": "6.3", "machine": "x86_64"}, "gates": gates}


GATE = {"limit": 4.0, "comment": "measured 4.0"}


class ReadingThresholds(unittest.TestCase):
    def test_a_good_file(self):
        toolchain, gates = thresholds.read(json.dumps(file(a=GATE, b={"limit": 0, "slack": 0.3, "comment": "c"})))
        self.assertEqual(str(toolchain), "Swift 6.3 on x86_64")
        self.assertEqual(gates["a"], Threshold(4.0, thresholds.SLACK, "measured 4.0"))
        self.assertEqual(gates["b"].slack, 0.3)

    def test_a_malformed_file_is_an_error(self):
        bad = {
            "not JSON": "{",
            "a list": "[]",
            "no gates": json.dumps(file()),
            "an unknown key": json.dumps({**file(a=GATE), "gate": {}}),
            "no toolchain": json.dumps({"comment": "c", "gates": {"a": GATE}}),
            "gates of another kind": json.dumps({**file(), "gates": [1]}),
            "a gate of another kind": json.dumps(file(a=4)),
            "no limit": json.dumps(file(a={"comment": "c"})),
            "a misspelt key": json.dumps(file(a={**GATE, "slak": 0.1})),
            "a limit in words": json.dumps(file(a={**GATE, "limit": "4"})),
            "a limit that is true": json.dumps(file(a={**GATE, "limit": True})),
            "a limit below 0": json.dumps(file(a={**GATE, "limit": -1})),
            "a limit that nothing is above": json.dumps(file(a={**GATE, "limit": float("nan")})),
            "a limit without end": json.dumps(file(a={**GATE, "limit": float("inf")})),
            "a slack of nothing": json.dumps(file(a={**GATE, "slack": 0})),
            "no comment": json.dumps(file(a={**GATE, "comment": " "})),
            "a gate that stands twice": json.dumps(file(a=GATE)).replace('"a": {', '"a": {"limit": 9, "comment": "c"}, "a": {'),
        }
        for what, text in bad.items():
            with self.subTest(what), self.assertRaises(MalformedThresholds):
                thresholds.read(text)


class Judging(unittest.TestCase):
    def word(self, value, limit, slack=thresholds.SLACK):
        verdict, = thresholds.judge([Figure("a", value, look="here")], {"a": Threshold(limit, slack, "measured 4")})
        return verdict

    def test_at_the_limit_is_a_pass(self):
        self.assertEqual(self.word(4.0, 4.0).word, "ok")
        self.assertEqual(self.word(0, 0).word, "ok")

    def test_above_the_limit_is_a_failure_that_says_so(self):
        verdict = self.word(4.001, 4.0)
        self.assertTrue(verdict.failed)
        for part in ["a: 4.0010 is above the limit 4", "was: measured 4", "look closer: here"]:
            self.assertIn(part, verdict.line)
        self.assertTrue(self.word(0.0001, 0).failed)

    def test_no_number_is_no_pass(self):
        self.assertTrue(self.word(float("nan"), 4.0).failed)

    def test_a_much_better_figure_asks_for_a_lower_limit(self):
        verdict = self.word(3.7, 4.0)
        self.assertEqual(verdict.word, "lower")
        self.assertFalse(verdict.failed)
        self.assertIn("lower the threshold", verdict.line)
        self.assertEqual(self.word(3.9, 4.0).word, "ok")
        self.assertEqual(self.word(3.0, 4.0, slack=0.3).word, "ok")

    def test_what_is_not_judged_is_said(self):
        for figure in [Figure("a", None, "denied"), Figure("a", 9.0, "denied")]:
            verdict, = thresholds.judge([figure], {"a": Threshold(4.0, 0.1, "c")})
            self.assertEqual(verdict.word, "----")
            self.assertIn("not judged: denied", verdict.line)

    def test_a_figure_and_a_threshold_without_the_other_fail(self):
        self.assertTrue(thresholds.judge([Figure("a", 1.0)], {})[0].failed)
        self.assertTrue(thresholds.judge([], {"a": Threshold(4.0, 0.1, "c")})[0].failed)


class ReadingCounters(unittest.TestCase):
    def test_perf(self):
        self.assertEqual(counting.read_perf("# started\n\n6003,,raw_syscalls:sys_enter,270,100.00,,\n"), 6003)
        for text in ["", "<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n", "<not supported>,,raw_syscalls:sys_enter,,,,\n"]:
            with self.assertRaises(counting.Denied):
                counting.read_perf(text)

    def test_strace(self):
        table = (
            "    calls  syscall\n--------- ----------------\n      400 io_uring_enter\n      200 sendto\n"
            "--------- ----------------\n      600 total\n")
        self.assertEqual(counting.read_strace(table), {"io_uring_enter": 400, "sendto": 200})
        self.assertEqual(counting.read_strace(""), {})


if __name__ == "__main__":
    unittest.main()
