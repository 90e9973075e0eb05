import Foundation
import Glibc
import Testing

/// One endpoint comes and goes ten thousand times. What many changes come to is done once, connections of the others live through it, and a
/// client's address leads where it led.
extension EndToEndTests {
    @Suite struct FlapTests {
        private static let flaps = 10_000
        private static let clients = 300

        /// Each client has an address of its own, and the hash of it decides.
        private static func address(_ client: Int) -> String { "127.\(1 + client / 200).7.\(1 + client % 200)" }

        private static func picks(_ port: Int) throws -> [String] {
            try (0..<clients).map { try TestSocket(to: "127.0.0.1", port, from: address($0)).receiveAll() }
        }

        @Test(arguments: Engines.available)
        func tenThousandFlapsOfAnEndpointAreAFewChangesAndTouchNobodyElse(engine: String) throws {
            let names = ["one", "two", "flapping"]
            let named = try names.map(ScriptedBackend.named)
            let crowd = try CrowdBackend()
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            func write(_ isThere: Bool, _ address: Int = 1) throws {
                let hashed = (isThere ? named : Array(named[..<2])).map { "127.0.0.1:\($0.port)" }
                // The other endpoint of the second Service is at the address that the first one's test names; nobody listens there.
                let kept = ["127.0.0.1:\(crowd.port)"] + (isThere ? ["127.9.\(address >> 8 & 255).\(address & 255):9"] : [])
                let annotations = ["algorithm": "consistent-hash"]
                try directory.replace(
                    "web.yaml",
                    with: serviceYAML("hashed", port: ports[0], endpoints: hashed, annotations: annotations) + "---\n"
                        + serviceYAML("kept", port: ports[1], endpoints: kept))
            }
            try write(true)
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { ringway in
                func settle(_ endpoints: Int) throws {
                    try waitUntil("the last change is in force") {
                        let services = try ringway.statistics().services
                        return services.first { $0.name == "hashed" }?.endpoints.count { $0.state == "active" } == endpoints
                    }
                }
                let before = try Self.picks(ports[0])
                #expect(Set(before) == Set(names))
                let clients = try [TestSocket](1000, to: ports[1])
                defer { clients.closeAll() }
                #expect(try clients.exchange("before") == 1000)

                let generation = try ringway.statistics().generation
                var resident = 0
                let began = ContinuousClock.now
                for flap in 0..<Self.flaps {
                    try write(flap % 2 > 0, flap)
                    if flap == Self.flaps / 5 {
                        resident = ringway.residentBytes
                        #expect(try clients.exchange("in between") == 1000)
                    }
                    // A thousand a second, as far as the host lets us.
                    let ahead = Duration.milliseconds(flap) - (ContinuousClock.now - began)
                    if ahead > .zero { usleep(UInt32(ahead / .microseconds(1))) }
                }
                try settle(3)
                let changes = try ringway.statistics().generation - generation
                #expect(changes >= 10 && changes < Self.flaps / 2, "\(changes) changes")
                let grown = ringway.residentBytes - resident
                #expect(grown < 8 << 20, "\(grown) bytes more")

                #expect(try clients.exchange("after") == 1000)
                #expect(crowd.tally.resets == 0 && crowd.tally.open == 1000)
                #expect(try Self.picks(ports[0]) == before)
                try write(false)
                try settle(2)
                let without = try Self.picks(ports[0])
                #expect(zip(before, without).allSatisfy { $0 == "flapping" ? $1 != "flapping" : $0 == $1 })
            }
        }
    }
}
