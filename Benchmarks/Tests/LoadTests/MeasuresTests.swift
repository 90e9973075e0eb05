import Testing

@testable import Load

struct MeasuresTests {
    @Test func percentilesAreMicroseconds() throws {
        var times = Times()
        for value in 1...1000 { times.record(nanoseconds: UInt64(value) * 1000) }
        #expect(times.count == 1000)
        #expect(times.percentile(0) == 1)
        #expect(times.percentile(100) == 1000)
        for percentile in [50.0, 90, 99] { #expect(abs(times.percentile(percentile) - percentile * 10) < 2) }
        #expect(abs(times.count(atLeastNanoseconds: 500_500) - 500) <= 1)
    }

    @Test func withoutTimesThereAreNoPercentiles() {
        #expect(Times().shortSummary.text == #"{"p50":null,"p99":null,"maximum":null}"#)
    }

    @Test func theTimelineCountsByStretches() {
        var timeline = Timeline(stretchNanoseconds: 100)
        timeline.count(atNanoseconds: 99)
        timeline.count(atNanoseconds: 100)
        timeline.count(atNanoseconds: 100)
        timeline.extend(toNanoseconds: 401)
        #expect(timeline.counts == [1, 2, 0, 0, 0])
    }

    @Test func failuresAreCountedByKind() {
        var failures = FailureCounts()
        for kind in FailureKind.allCases { failures[kind] += 1 }
        failures[.timeout] += 1
        #expect(failures.total == FailureKind.allCases.count + 1)
        #expect(failures[.timeout] == 2 && failures[.reset] == 1)
    }

    @Test func jsonIsPlain() {
        let json = JSON.object([
            ("text", .string("a\"\\\n")), ("list", .array([.integer(-1), .number(0.12345), .number(3), .number(.nan)])),
        ])
        #expect(json.text == #"{"text":"a\"\\\u000a","list":[-1,0.123,3,null]}"#)
    }

    @Test func theLogForgetsWhatIsSettledInFront() {
        var log = RequestLog()
        for number in 0..<10_000 { #expect(log.append(beganNanoseconds: UInt64(number)) == number) }
        for number in stride(from: 1, to: 10_000, by: 2) { log.settle(number) }
        #expect(log.oldestNanoseconds == 0)
        for number in stride(from: 0, to: 9000, by: 2) { log.settle(number) }
        #expect(log.numbers == 9000..<10_000)
        #expect(log[9999].isSettled && !log[9998].isSettled)
        for number in stride(from: 9000, to: 10_000, by: 2) { log.settle(number) }
        #expect(log.isEmpty && log.oldestNanoseconds == nil)
        #expect(log.append(beganNanoseconds: 1) == 10_000)
    }

    @Test func targetsAreAddressesWithPorts() {
        for good in ["127.0.0.1:9001", "[::1]:9001", "10.0.0.1:65535"] { #expect(Target(good)?.text == good) }
        for bad in ["127.0.0.1", "localhost:80", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:80", "127.0.0.1:", ""] {
            #expect(Target(bad) == nil, "\(bad)")
        }
    }
}
