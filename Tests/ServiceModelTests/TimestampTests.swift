import Testing

@testable import ServiceModel

struct TimestampTests {
    // Figures of `date -u -d … +%s`.
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799), ("2026-11-25T07:30:00Z", 1_795_591_800),
        ("1969-12-31T23:59:59Z", -1), ("2100-03-01T00:00:00Z", 4_107_542_400), ("1900-01-01T00:00:00Z", -2_208_988_800),
    ])
    func aMomentIsReadAndWritten(text: String, seconds: Int64) {
        #expect(Timestamp(text)?.seconds == seconds)
        #expect(Timestamp(seconds: seconds).description == text)
    }

    @Test(arguments: [
        ("2026-11-25T08:30:00+01:00", "2026-11-25T07:30:00Z"), ("2026-11-25T07:30:00.123456Z", "2026-11-25T07:30:00Z"),
        ("2026-01-01T00:15:00-01:30", "2026-01-01T01:45:00Z"),
    ])
    func zonesAndFractionsAreRead(text: String, same: String) {
        #expect(Timestamp(text)?.description == same)
    }

    @Test(arguments: [
        "", "2026-11-25", "2026-11-25 07:30:00Z", "2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "2026-11-25T24:00:00Z",
        "2026-11-25T07:30:00", "2026-11-25T07:30:00.Z", "2026-11-25T07:30:00Zx", "2026-11-25T07:30:00+1:00", "26-11-25T07:30:00Z",
    ])
    func anythingElseIsNoMoment(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func everyDayOfFourCenturiesComesBack() {
        for day in stride(from: Int64(-25_567), through: 120_000, by: 1) {
            let moment = Timestamp(seconds: day * 86_400 + 3661)
            #expect(Timestamp(moment.description) == moment)
        }
    }

    @Test func anObjectSaysWhenItWasMade() {
        func made(_ timestamp: Tree) -> Timestamp? {
            let tree: Tree = [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web", "creationTimestamp": timestamp],
                "spec": ["ports": [["port": 80]]],
            ]
            return decoded(tree.node)?.metadata.creationTimestamp
        }
        #expect(made("2026-11-25T07:30:00Z") == Timestamp("2026-11-25T07:30:00Z"))
        #expect(made(nil) == nil)
    }
}
