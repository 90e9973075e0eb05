import Foundation
import Glibc
import Testing

/// The files change while clients come and go: no request fails, no connection is touched, and nonsense changes nothing.
extension EndToEndTests {
    @Suite struct ChangeTests {
        @Test(arguments: Engines.available)
        func filesReplacedUnderLoadFailNoRequest(engine: String) throws {
            let nginx = try Nginx(RequestTests.names)
            let port = try FreePort.take()
            let all = nginx.ports.map { "127.0.0.1:\($0)" }
            let directory = try TemporaryDirectory()
            try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: all))
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { ringway in
                let stop = Counter()
                let briefly = Pending { HTTPLoad(port: port, connections: 10, requestsPerConnection: 1).run { stop.isStopped } }
                let kept = Pending { HTTPLoad(port: port, connections: 10, requestsPerConnection: 500).run { stop.isStopped } }
                defer { stop.stop() }
                // 3 → 1 → 3 → 2 → …, by renames.
                for (generation, endpoints) in [[all[0]], all, [all[1], all[2]], [all[2]], all].enumerated() {
                    usleep(200_000)
                    try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints))
                    try waitUntil("change \(generation + 1) is applied") {
                        let statistics = try ringway.statistics()
                        return statistics.generation >= generation + 2
                            && Set(statistics.endpoints.filter { $0.state == "active" }.map(\.address)) == Set(endpoints)
                    }
                }
                usleep(200_000)
                stop.stop()
                for load in [briefly, kept] {
                    let outcome = try load.value()
                    #expect(outcome.failures == [])
                    #expect(outcome.requests > 100)
                    #expect(Set(outcome.answers.keys) == Set(RequestTests.names))
                }
            }
        }

        /// As the kubelet publishes a ConfigMap: `web.yaml` leads to `..data/web.yaml`, and `..data`, a link itself, is swapped.
        @Test(arguments: Engines.available)
        func aConfigMapSwapUnderLoadFailsNoRequest(engine: String) throws {
            let nginx = try Nginx(RequestTests.names)
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            func publish(_ version: Int, _ endpoints: [Int]) throws {
                let files = FileManager.default
                try files.createDirectory(atPath: directory.path("config/..\(version)"), withIntermediateDirectories: true)
                try directory.write(
                    serviceYAML(port: port, endpoints: endpoints.map { "127.0.0.1:\(nginx.ports[$0])" }), to: "config/..\(version)/web.yaml"
                )
                try files.createSymbolicLink(atPath: directory.path("config/..next"), withDestinationPath: "..\(version)")
                try #require(unsafe rename(directory.path("config/..next"), directory.path("config/..data")) == 0)
                try? files.removeItem(atPath: directory.path("config/..\(version - 1)"))
            }
            try publish(1, [0, 1, 2])
            try FileManager.default.createSymbolicLink(
                atPath: directory.path("config/web.yaml"), withDestinationPath: "..data/web.yaml")
            try withRingway(engine, [directory.path("config")], directory: directory) { ringway in
                let stop = Counter()
                let load = Pending { HTTPLoad(port: port, connections: 10, requestsPerConnection: 1).run { stop.isStopped } }
                defer { stop.stop() }
                for version in 2...5 {
                    let endpoints = version % 2 == 0 ? [version / 2 - 1] : [0, 1, 2]
                    try publish(version, endpoints)
                    try waitUntil("version \(version) is applied") {
                        try ringway.statistics().endpoints.filter { $0.state == "active" }.count == endpoints.count
                    }
                }
                stop.stop()
                let outcome = try load.value()
                #expect(outcome.failures == [])
                #expect(outcome.requests > 100)
            }
        }

        @Test(arguments: Engines.available)
        func aConnectionOutlivesTheRemovalOfItsEndpointAndOfItsService(engine: String) throws {
            let old = try ScriptedBackend.echo()
            let new = try ScriptedBackend.named("new")
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: ["127.0.0.1:\(old.port)"]))
            try withRingway(engine, [directory.root], directory: directory) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                func exchange(_ text: String) throws {
                    try client.send(text)
                    #expect(try client.receive(exactly: text.utf8.count) == text)
                }
                try exchange("before")
                try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: ["127.0.0.1:\(new.port)"]))
                try waitUntil("the endpoint changes") { try ringway.statistics().generation == 2 }
                let answer = try TestSocket(to: "127.0.0.1", port).receiveAll()
                #expect(answer == "new")
                try exchange("endpoint removed")
                let removed = try #require(try ringway.statistics().endpoints.first { $0.address == "127.0.0.1:\(old.port)" })
                #expect(removed.state == "removed" && removed.connectionsActive == 1)

                try FileManager.default.removeItem(atPath: directory.path("web.yaml"))
                try waitUntil("the listener closes") { (try? TestSocket(to: "127.0.0.1", port)) == nil }
                try exchange("service removed")
                #expect(try ringway.statistics().connectionsActive == 1)
                client.shutdownWrite()
                #expect(client.ending() == nil)
            }
        }

        @Test(arguments: Engines.available)
        func aBadFileKeepsItsLastGoodVersionAndTheOthersGoOn(engine: String) throws {
            let backends = try ["first", "second"].map(ScriptedBackend.named)
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            for (index, backend) in backends.enumerated() {
                try directory.replace(
                    "\(index).yaml", with: serviceYAML("web-\(index)", port: ports[index], endpoints: ["127.0.0.1:\(backend.port)"]))
            }
            try withRingway(engine, [directory.root], directory: directory) { ringway in
                func expectBothServed() throws {
                    let answers = try ports.map { try TestSocket(to: "127.0.0.1", $0).receiveAll() }
                    #expect(answers == ["first", "second"])
                }
                let bad = [
                    "", "\u{0}\u{1}\u{2}binary", "kind: [", "\tkind: Service\n", serviceYAML("web-0", port: 0, endpoints: ["127.0.0.1:1"]),
                    serviceYAML("web-0", port: ports[0], endpoints: ["not an address"]),
                ]
                for (index, text) in bad.enumerated() {
                    try directory.replace("0.yaml", with: text)
                    try waitUntil("bad file \(index) is noticed") { try ringway.statistics().configuration.rejectedObjects == 1 }
                    try expectBothServed()
                    try directory.replace(
                        "0.yaml", with: serviceYAML("web-0", port: ports[0], endpoints: ["127.0.0.1:\(backends[0].port)"]))
                    try waitUntil("the good file is back") { try ringway.statistics().configuration.rejectedObjects == 0 }
                }
                try expectBothServed()
                #expect(ringway.log.contains("0.yaml:"))
            }
        }

        @Test(arguments: Engines.available)
        func aRootThatDisappearsKeepsEverything(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            try FileManager.default.createDirectory(atPath: directory.path("services"), withIntermediateDirectories: false)
            try directory.write(serviceYAML(port: port, endpoints: ["127.0.0.1:\(backend.port)"]), to: "services/web.yaml")
            try withRingway(engine, [directory.path("services")], directory: directory) { ringway in
                try #require(unsafe rename(directory.path("services"), directory.path("elsewhere")) == 0)
                try waitUntil("the loss is noticed") { ringway.log.contains("can't be read") }
                let answer = try TestSocket(to: "127.0.0.1", port).receiveAll()
                #expect(answer == "served")
            }
        }

        @Test(arguments: [[], ["--allow-empty-sources"]])
        func aFileThatLosesTenServicesAtOnceKeepsThemUnlessThatIsAllowed(options: [String]) throws {
            let backend = try ScriptedBackend.named("served")
            let ports = try FreePort.take(10)
            let directory = try TemporaryDirectory()
            let services = ports.map { serviceYAML("web-\($0)", port: $0, endpoints: ["127.0.0.1:\(backend.port)"]) }
            try directory.replace("web.yaml", with: services.joined(separator: "---\n"))
            try withRingway("epoll", [directory.path("web.yaml")], options: options, directory: directory) { ringway in
                func served() -> Int { ports.count { (try? TestSocket(to: "127.0.0.1", $0).receiveAll()) == "served" } }
                #expect(served() == 10)
                try directory.replace("web.yaml", with: "# nothing\n")
                if options.isEmpty {
                    try waitUntil("the loss is noticed") { ringway.log.contains("all Services are gone at once, 10 of them: held back") }
                    #expect(served() == 10)
                    try directory.replace("web.yaml", with: services[0])
                    try waitUntil("nine are gone") { served() == 1 }
                } else {
                    try waitUntil("all are gone") { served() == 0 }
                    #expect(!ringway.log.contains("held back"))
                }
            }
        }

        @Test(arguments: Engines.available)
        func aServiceWithoutEndpointsComesAndGoesWithThem(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let service = """
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec: {externalIPs: [127.0.0.1], ports: [{name: http, port: \(port)}]}
                ---

                """
            func slice(_ endpoints: String) -> String {
                """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: http, port: \(backend.port)}]
                endpoints: \(endpoints)

                """
            }
            try directory.replace("web.yaml", with: service + slice("[]"))
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { _ in
                for _ in 0..<3 {
                    try waitUntil("clients are refused") { (try? TestSocket(to: "127.0.0.1", port)) == nil }
                    try directory.replace("web.yaml", with: service + slice("[{addresses: [127.0.0.1]}]"))
                    try waitUntil("clients are served") { (try? TestSocket(to: "127.0.0.1", port).receiveAll()) == "served" }
                    try directory.replace("web.yaml", with: service + slice("[{addresses: [127.0.0.1], conditions: {ready: false}}]"))
                }
                try waitUntil("clients are refused") { (try? TestSocket(to: "127.0.0.1", port)) == nil }
            }
        }
    }
}
