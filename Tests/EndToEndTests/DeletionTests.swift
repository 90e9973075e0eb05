import Foundation
import Glibc
import Testing

/// A Service is deleted under thousands of connections, which is what its policy says: they live on, end in their time, or at once; and
/// another Service's clients notice nothing. `Scripts/simulate --crowds` has 50,000 of them.
extension EndToEndTests {
    @Suite struct DeletionTests {
        private static let size = 4000

        private func withDoomed(
            _ engine: String, _ policy: String,
            _ body: (RunningRingway, CrowdBackend, [TestSocket], _ delete: () throws -> Void) throws -> Void
        ) throws {
            let backend = try CrowdBackend()
            let nginx = try Nginx(["other"])
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            func write() throws {
                let yaml = serviceYAML(port: ports[0], endpoints: ["127.0.0.1:\(backend.port)"], annotations: ["on-delete": policy])
                try directory.replace("web.yaml", with: yaml)
            }
            try write()
            try directory.replace("other.yaml", with: serviceYAML("other", port: ports[1], endpoints: ["127.0.0.1:\(nginx.ports[0])"]))
            try withRingway(engine, [directory.root], directory: directory) { ringway in
                let clients = try [TestSocket](Self.size, to: ports[0])
                defer { clients.closeAll() }
                #expect(try clients.exchange("hello") == Self.size)
                let stop = Counter()
                defer { stop.stop() }
                let briefly = Pending { HTTPLoad(port: ports[1], connections: 5, requestsPerConnection: 1).run { stop.isStopped } }
                let kept = Pending { HTTPLoad(port: ports[1], connections: 5, requestsPerConnection: 500).run { stop.isStopped } }
                try body(ringway, backend, clients) {
                    try FileManager.default.removeItem(atPath: directory.path("web.yaml"))
                    try waitUntil("new clients are refused") { (try? TestSocket(to: "127.0.0.1", ports[0])) == nil }
                }
                stop.stop()
                for load in [briefly, kept] {
                    let outcome = try load.value()
                    #expect(outcome.failures == [] && outcome.requests > 0)
                }
                try waitUntil("the backend has heard of all") { backend.tally.open == 0 }
                // What comes under the same name is a Service like any other.
                try write()
                try waitUntil("it is served again") { (try? TestSocket(to: "127.0.0.1", ports[0])) != nil }
                #expect(try [TestSocket](100, to: ports[0]).exchange("back") == 100)
            }
        }

        @Test(arguments: Engines.available)
        func itsConnectionsAreResetAtOnceWhereItSaysSo(engine: String) throws {
            try withDoomed(engine, "reset") { ringway, _, clients, delete in
                try delete()
                let endings = clients.endings()
                #expect(endings.resets == Self.size)
                try waitUntil("they are counted") { try ringway.statistics().connectionsActive <= 10 }
            }
        }

        @Test(arguments: Engines.available)
        func theyMayFinishInTheTimeThatItGives(engine: String) throws {
            try withDoomed(engine, "drain(6s)") { _, backend, clients, delete in
                let (finishing, staying) = (Array(clients[..<1000]), Array(clients[1000...]))
                let began = ContinuousClock.now
                try delete()
                #expect(try clients.exchange("the last words") == Self.size)
                finishing.forEach { $0.shutdownWrite() }
                #expect(finishing.endings().fins == 1000)
                #expect(staying.endings().resets == staying.count)
                // A host that stands still makes it later, nothing makes it sooner.
                #expect(ContinuousClock.now - began >= .seconds(5))
                try waitUntil("the backend has heard of all") { backend.tally.open == 0 }
                #expect(backend.tally.resets == staying.count)
            }
        }
    }
}
