import Foundation
import Glibc
import Testing

/// The PROXY protocol with real peers: nginx and curl speak it, and raw sockets speak it badly.
///
/// ```
///  curl, sockets (127.0.0.1, .7, ::1) ──[header]──► ringway ──header──► nginx (listen … proxy_protocol), which answers what it told
/// ```
extension EndToEndTests {
    @Suite struct ProxyProtocolTests {
        static let versions = ["v1", "v2"]
        /// The client and the address it asked for, as a balancer in front tells them.
        static let told = "PROXY TCP4 203.0.113.9 198.51.100.1 1234 443\r\n"
        static let toldBinary: [UInt8] =
            [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x21, 0x11, 0, 15] + [203, 0, 113, 9, 198, 51, 100, 1, 4, 210, 1, 187]
            + [4, 0, 0]
        static let local: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x20, 0, 0, 0]
        static let request = "GET / HTTP/1.0\r\n\r\n"

        private func withService(
            _ engine: String, _ annotations: [String: String], options: [String] = [], backends: [String],
            _ body: (RunningRingway, Int) throws -> Void
        ) throws {
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let file = try directory.write(serviceYAML(port: port, endpoints: backends, annotations: annotations), to: "web.yaml")
            try withRingway(engine, [file], options: options) { try body($0, port) }
        }

        private func expect(_ found: String, is expected: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            #expect(found == expected, sourceLocation: sourceLocation)
        }

        /// What nginx was told, by the answer to a request that follows `header`.
        private func answer(_ port: Int, _ header: [UInt8], bytewise: Bool = false) throws -> String {
            let client = try TestSocket(to: "127.0.0.1", port)
            if bytewise {
                for byte in header {
                    try client.send([byte])
                    usleep(1000)
                }
                try client.send(Self.request)
            } else {
                try client.send(header + Array(Self.request.utf8))
            }
            return try String(client.receiveAll().split(separator: "\r\n\r\n").last ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
        }

        @Test(arguments: Engines.available, versions)
        func nginxIsToldTheClientAndTheAddressItAskedFor(engine: String, version: String) throws {
            let nginx = try Nginx(["web"], expectsProxyProtocol: true)
            // Something that refuses, so that some connections come at a second attempt.
            let refused = try FreePort.take()
            try withService(engine, ["proxy-protocol": version], backends: ["127.0.0.1:\(nginx.ports[0])", "127.0.0.1:\(refused)"]) {
                ringway, port in
                for _ in 0..<10 { try expect(curl(port), is: "127.0.0.1 127.0.0.1 \(port)") }
                try expect(curl(port, from: "127.0.0.7"), is: "127.0.0.7 127.0.0.1 \(port)")
                let load = HTTPLoad(port: port, connections: 20, requestsPerConnection: 5, requests: 500).run()
                #expect(load.failures == [] && load.answers.count == 1)
            }
        }

        @Test(arguments: Engines.available, versions)
        func nginxIsToldIPv6Addresses(engine: String, version: String) throws {
            let nginx = try Nginx(["web"], expectsProxyProtocol: true)
            let port = try FreePort.take(on: "::1")
            let directory = try TemporaryDirectory()
            let yaml = serviceYAML(
                on: "::1", port: port, endpoints: ["127.0.0.1:\(nginx.ports[0])"], annotations: ["proxy-protocol": version])
            try withRingway(engine, [try directory.write(yaml, to: "web.yaml")]) { _ in
                try expect(curl(port, at: "::1"), is: "::1 ::1 \(port)")
            }
        }

        /// A nodePort listens on every address: the one that the client asked for is told.
        @Test(arguments: Engines.available)
        func ofANodePortTheAddressThatWasAskedForIsTold(engine: String) throws {
            let nginx = try Nginx(["web"], expectsProxyProtocol: true)
            let port = try FreePort.take(on: "0.0.0.0")
            let directory = try TemporaryDirectory()
            let file = try directory.write(
                """
                apiVersion: v1
                kind: Service
                metadata:
                  name: web
                  annotations: {ringway.dev/endpoints: "127.0.0.1:\(nginx.ports[0])", ringway.dev/proxy-protocol: v2}
                spec:
                  type: NodePort
                  clusterIP: 127.0.0.1
                  ports: [{port: \(try FreePort.take()), nodePort: \(port)}]

                """, to: "web.yaml")
            try withRingway(engine, [file]) { _ in
                try expect(curl(port, at: "127.0.0.3"), is: "127.0.0.1 127.0.0.3 \(port)")
            }
        }

        @Test(arguments: Engines.available, versions)
        func aServerThatSpeaksFirstHearsTheHeaderAtOnce(engine: String, version: String) throws {
            let backend = try ScriptedBackend { connection in
                let length = version == "v1" ? 0 : 28
                var header: [UInt8] = []
                while version == "v1" ? header.last != 10 : header.count < length { header += try connection.receive(max: 1) }
                try connection.send("hello\n")
                _ = connection.ending()
            }
            try withService(engine, ["proxy-protocol": version], backends: ["127.0.0.1:\(backend.port)"]) { _, port in
                let client = try TestSocket(to: "127.0.0.1", port)
                try expect(client.receive(exactly: 6), is: "hello\n")
            }
        }

        @Test(arguments: Engines.available)
        func whatABalancerInFrontTellsIsToldOn(engine: String) throws {
            let nginx = try Nginx(["web"], expectsProxyProtocol: true)
            let annotations = ["proxy-protocol": "v1", "accept-proxy-protocol-from": "127.0.0.1/32"]
            try withService(engine, annotations, backends: ["127.0.0.1:\(nginx.ports[0])"]) { _, port in
                let line = Array(Self.told.utf8)
                for header in [line, Self.toldBinary] {
                    for bytewise in [false, true] {
                        try expect(answer(port, header, bytewise: bytewise), is: "203.0.113.9 198.51.100.1 443")
                    }
                }
                try expect(answer(port, Self.local), is: "127.0.0.1 127.0.0.1 \(port)")
                try expect(answer(port, Array("PROXY UNKNOWN\r\n".utf8)), is: "127.0.0.1 127.0.0.1 \(port)")
                // curl's own header names its own socket.
                try expect(curl(port, options: ["--haproxy-protocol"]), is: "127.0.0.1 127.0.0.1 \(port)")
            }
        }

        @Test(arguments: Engines.available)
        func badAndLateHeadersAreResetAndCounted(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let annotations = ["accept-proxy-protocol-from": "127.0.0.1/32"]
            try withService(
                engine, annotations, options: ["--proxy-header-timeout", "500ms"], backends: ["127.0.0.1:\(backend.port)"]
            ) { ringway, port in
                let bad = [Self.request, "PROXY TCP4 1.2.3.4 5.6.7.8 65536 1\r\n", "PROXY TCP4 1.2.3.4\r\n", "\r\n\r\n\0\r\nQUIT\n!"]
                for header in bad {
                    let client = try TestSocket(to: "127.0.0.1", port)
                    try client.send(header)
                    #expect(client.ending() == ECONNRESET)
                }
                let late = try TestSocket(to: "127.0.0.1", port)
                try late.send("PROXY TCP4 ")
                #expect(late.ending() == ECONNRESET)
                let silent = try TestSocket(to: "127.0.0.1", port)
                #expect(silent.ending() == ECONNRESET)
                let halfway = try TestSocket(to: "127.0.0.1", port)
                try halfway.send("PROXY TCP4 ")
                halfway.shutdownWrite()
                #expect(halfway.ending() == ECONNRESET)
                // Who only looks whether the port is open.
                let probe = try TestSocket(to: "127.0.0.1", port)
                probe.shutdownWrite()
                #expect(probe.ending() == nil)
                try waitUntil("all are closed") { try ringway.statistics().connectionsActive == 0 }
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.closed == ["proxy-header-bad": 7, "client-fin": 1])
                #expect(service.endpoints.map(\.connections) == [0] && backend.accepted == 0)
                let good = try TestSocket(to: "127.0.0.1", port)
                try good.send(Self.told + "hello")
                good.shutdownWrite()
                try expect(good.receiveAll(), is: "hello")
            }
        }

        @Test(arguments: Engines.available)
        func aHeaderThatIsNotDueIsResetWhereItIsRefused(engine: String) throws {
            let received = Counter()
            let backend = try ScriptedBackend { connection in
                // Speaks first, and is not held up by what clients might say.
                try connection.send("hello\n")
                while true {
                    let bytes = try connection.receive()
                    if bytes.isEmpty { break }
                    received.add(bytes.count)
                    try connection.send(bytes)
                }
                connection.shutdownWrite()
            }
            try withService(
                engine, ["unexpected-proxy-header": "close"], options: ["--proxy-header-timeout", "500ms"],
                backends: ["127.0.0.1:\(backend.port)"]
            ) { ringway, port in
                for header in [Array(Self.told.utf8), Self.toldBinary, Self.local] {
                    for bytewise in [false, true] {
                        let client = try TestSocket(to: "127.0.0.1", port)
                        try expect(client.receive(exactly: 6), is: "hello\n")
                        // The reset comes with the byte that makes it a header, and is told once, to a send or to a receive.
                        var couldSend = true
                        for piece in bytewise ? header.map({ [$0] }) : [header] where couldSend {
                            couldSend = (try? client.send(piece)) != nil
                            if bytewise { usleep(1000) }
                        }
                        #expect(!couldSend || client.ending() == ECONNRESET)
                    }
                }
                let stops = try TestSocket(to: "127.0.0.1", port)
                try stops.send("\r\n")
                try expect(stops.receive(exactly: 6), is: "hello\n")
                #expect(stops.ending() == ECONNRESET)
                try waitUntil("all are closed") { try ringway.statistics().connectionsActive == 0 }
                #expect(try ringway.statistics().closed("proxy-header-bad") == 7)
                #expect(received.value == 0)
                for request in [Self.request, "PROXYING is no header", "\r\n\r\n"] {
                    let client = try TestSocket(to: "127.0.0.1", port)
                    try client.send(request)
                    client.shutdownWrite()
                    try expect(client.receiveAll(), is: "hello\n" + request)
                }
            }
        }

        @Test(arguments: Engines.available)
        func bytesOfOthersPassThroughUntouched(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            try withService(
                engine, ["accept-proxy-protocol-from": "127.0.0.9/32"], backends: ["127.0.0.1:\(backend.port)"]
            ) { _, port in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send(Self.told)
                client.shutdownWrite()
                try expect(client.receiveAll(), is: Self.told)
            }
        }
    }
}
