import Foundation
import Testing

/// Requests of real HTTP clients to real HTTP servers.
extension EndToEndTests {
    @Suite struct RequestTests {
        static let names = ["backend-1", "backend-2", "backend-3"]

        @Test(arguments: Engines.available)
        func tenThousandRequestsOverTwoHundredConnectionsHaveNoError(engine: String) throws {
            let nginx = try Nginx(Self.names)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(nginx.endpoints)"]) { ringway in
                let load = HTTPLoad(port: port, connections: 200, requestsPerConnection: 50, requests: 10_000)
                let outcome = load.run()
                #expect(outcome.failures == [])
                #expect(outcome.requests == 10_000)
                #expect(Set(outcome.answers.keys) == Set(Self.names))

                try waitUntil("all connections end") { try ringway.statistics().connectionsActive == 0 }
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.connections == 200)
                #expect(service.closed.values.reduce(0, +) == 200)
                #expect(service.retries == 0)
                #expect(service.endpoints.map(\.connections).reduce(0, +) == 200)
                #expect(service.bytesFromClients > 0 && service.bytesToClients > service.bytesFromClients)
            }
        }

        @Test(arguments: Engines.available)
        func aConnectionForEachRequestHasNoErrorEither(engine: String) throws {
            let nginx = try Nginx(Self.names)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(nginx.endpoints)"]) { ringway in
                let outcome = HTTPLoad(port: port, connections: 50, requestsPerConnection: 1, requests: 3000).run()
                #expect(outcome.failures == [])
                #expect(outcome.requests == 3000)
                // A third each, with room for chance: 1000 ± 6 standard deviations.
                #expect(outcome.answers.values.allSatisfy { (840...1160).contains($0) }, "\(outcome.answers)")
            }
        }

        @Test(arguments: Engines.available)
        func curlReachesEveryBackend(engine: String) throws {
            let nginx = try Nginx(Self.names)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(nginx.endpoints)"]) { _ in
                var answers: Set<String> = []
                for _ in 0..<100 where answers.count < 3 { answers.insert(try curl(port)) }
                #expect(answers == Set(Self.names))
            }
        }

        @Test(arguments: Engines.available)
        func clientIPKeepsToOneBackendOnEveryWorkerAndAfterARestart(engine: String) throws {
            let nginx = try Nginx(Self.names)
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let file = try directory.write(
                serviceYAML(port: port, endpoints: nginx.ports.map { "127.0.0.1:\($0)" }, affinity: "ClientIP"), to: "web.yaml")
            var answers: Set<String> = []
            for _ in 0..<2 {
                try withRingway(engine, [file]) { _ in
                    for _ in 0..<10 { answers.insert(try curl(port)) }
                    let outcome = HTTPLoad(port: port, connections: 40, requestsPerConnection: 1, requests: 200).run()
                    #expect(outcome.failures == [])
                    answers.formUnion(outcome.answers.keys)
                }
            }
            #expect(answers.count == 1 && answers.isSubset(of: Set(Self.names)))
        }

        @Test(arguments: Engines.available)
        func iPv6ListenersAndEndpointsAreServed(engine: String) throws {
            let nginx = try Nginx(["six"], addresses: ["::1"])
            let port = try FreePort.take(on: "::1")
            try withRingway(engine, ["[::1]:\(port)=[::1]:\(nginx.ports[0])"]) { ringway in
                let answer = try curl(port, at: "::1")
                #expect(answer == "six")
                #expect(try ringway.statistics().listeners.map(\.frontend) == ["tcp [::1]:\(port)"])
            }
        }

        @Test(arguments: Engines.available)
        func twoPinnedWorkersShareTheConnections(engine: String) throws {
            let nginx = try Nginx(Self.names)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(nginx.endpoints)"], options: ["--workers", "2", "--pin", "on"]) { ringway in
                let outcome = HTTPLoad(port: port, connections: 64, requestsPerConnection: 1, requests: 640).run()
                #expect(outcome.failures == [])
                let workers = try ringway.statistics().workers
                #expect(workers.count == 2)
                #expect(workers.allSatisfy { $0.cpu != nil && $0.connectionsAccepted > 0 && $0.listeners == 1 })
            }
        }

        @Test(arguments: Engines.available)
        func standardInputIsServed(engine: String) throws {
            let nginx = try Nginx(["backend-1"])
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let file = try directory.write(serviceYAML(port: port, endpoints: ["127.0.0.1:\(nginx.ports[0])"]), to: "web.yaml")
            let ringway = try RunningRingway(engine, ["-"], input: file, directory: directory)
            defer { ringway.process.end() }
            #expect(try curl(port) == "backend-1")
        }

        @Test(arguments: Engines.available)
        func slicesWithSeveralPortsAndConditionsAreJoinedAsAClusterJoinsThem(engine: String) throws {
            let nginx = try Nginx(["http-1", "http-2", "admin"], addresses: ["127.0.0.1", "127.0.0.1", "127.0.0.1"])
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            func slice(_ name: String, _ portName: String, _ port: Int, _ conditions: String = "{}") -> String {
                """
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: \(name), labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: \(portName), port: \(port)}]
                endpoints: [{addresses: [127.0.0.1], conditions: \(conditions)}]

                """
            }
            let service = """
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec:
                  externalIPs: [127.0.0.1]
                  ports: [{name: http, port: \(ports[0])}, {name: admin, port: \(ports[1])}]

                """
            let file = try directory.write(
                service + slice("web-1", "http", nginx.ports[0]) + slice("web-2", "http", nginx.ports[1], "{ready: false}")
                    + slice("web-3", "admin", nginx.ports[2]), to: "web.yaml")
            try withRingway(engine, [file]) { _ in
                for _ in 0..<12 {
                    let answer = try curl(ports[0])
                    #expect(answer == "http-1")
                }
                let answer = try curl(ports[1])
                #expect(answer == "admin")
            }
        }
    }
}
