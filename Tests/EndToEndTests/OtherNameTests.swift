import Fuzz
import Testing

/// Names that are not the cluster's: asked for at a real name server, or at one that is dead, silent, or ourselves.
///
///     sockets ──► 127.0.0.1:PORT  ringway run --dns-upstream ──► 127.0.0.1:PORT  dnsmasq, a socket that is silent, nobody
extension EndToEndTests {
    @Suite struct OtherNameTests {
        private func withNames(
            _ engine: String, upstream: [String], options: [String] = [], prefix: [String] = [],
            _ body: (_ ringway: RunningRingway, _ client: NameClient) throws -> Void
        ) throws {
            let port = try FreePort.take(on: "0.0.0.0")
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: NameManifests.all)
            let own = upstream.map { $0 == "own" ? "127.0.0.1:\(port)" : $0 }
            try withRingway(
                engine, [directory.path("names.yaml")],
                options: ["--dns-listen", "127.0.0.1:\(port)", "--dns-upstream", own.joined(separator: ","), "--workers", "1"] + options,
                prefix: prefix, directory: directory
            ) { ringway in
                try body(ringway, NameClient("127.0.0.1", port))
            }
        }

        /// What was counted, by the name of the count.
        private func count(_ name: String, _ ringway: RunningRingway) throws -> Int {
            Int(try #require(try ringway.statistics().names?.questions[name]))
        }

        @Test(arguments: Engines.available)
        func otherNamesAreAskedForOverBothTransports(engine: String) throws {
            let upstream = try NameUpstream()
            try withNames(engine, upstream: [upstream.place], options: ["--admin-listen", "127.0.0.1:0"]) { (ringway, client) throws in
                for overTCP in [false, true] {
                    func answer(_ name: String, _ type: String = "A") throws -> [String] {
                        try client.answer(name, type, overTCP: overTCP)
                    }
                    #expect(try answer("service.test") == ["192.0.2.7"])
                    #expect(try answer("service.test", "AAAA") == ["2001:db8::7"])
                    #expect(try answer("nobody.test") == ["code 3"])
                    #expect(try answer("service.test", "MX") == [])
                    #expect(try answer("web.prod.svc.cluster.local") == ["10.96.0.20"])
                    // An alias of ours, and what it leads to.
                    let alias = try client.ask("out.prod.svc.cluster.local", overTCP: overTCP)
                    #expect(alias.answers.map(\.data) == ["example.org.", "service.test.", "192.0.2.7"])
                    #expect(alias.isAuthoritative)
                    let other = try client.ask("service.test", overTCP: overTCP)
                    #expect(!other.isAuthoritative && other.flags & 0x80 != 0)
                }
                #expect(upstream.queries("[A] service.test") == 1 && upstream.queries("[AAAA] service.test") == 1)
                #expect(try count("successHits", ringway) >= 4)
                let line = "coredns_proxy_request_duration_seconds_count{proxy_name=\"forward\",to=\"\(upstream.place)\"}"
                let page = try MetricsReader(ringway).page()
                #expect(page.contains("\(line) \(try count("attempts", ringway))\n"), "\(page)")
            }
        }

        @Test(arguments: Engines.available)
        func whatIsTooLongForUDPIsAskedForOverTCP(engine: String) throws {
            let upstream = try NameUpstream()
            try withNames(engine, upstream: [upstream.place]) { (_, client) throws in
                let short = try client.ask("large.test", "TXT")
                #expect(short.isTruncated)
                let whole = try client.ask("large.test", "TXT", overTCP: true)
                #expect(!whole.isTruncated && whole.answers.count == 4)
                // It is kept, and told by UDP as far as it goes.
                let kept = try client.ask("large.test", "TXT")
                #expect(kept.isTruncated && kept.answers.count == 1)
            }
        }

        @Test(arguments: Engines.available)
        func namesBehindTheSearchListAreDeniedWithoutAnybodyAsked(engine: String) throws {
            let upstream = try NameUpstream()
            try withNames(engine, upstream: [upstream.place]) { (ringway, client) throws in
                for domain in ["prod.svc.cluster.local", "svc.cluster.local", "cluster.local"] {
                    #expect(try client.answer("service.test.\(domain)") == ["code 3"])
                }
                #expect(try client.answer("service.test") == ["192.0.2.7"])
                #expect(upstream.queries("cluster.local") == 0)
                #expect(try count("attempts", ringway) == 1)
            }
        }

        @Test(arguments: Engines.available)
        func aQuestionIsAskedOnceForAllWhoWant(engine: String) throws {
            let silent = try DatagramSocket()
            try withNames(engine, upstream: ["127.0.0.1:\(silent.port)"]) { (ringway, client) throws in
                let sockets = try (0..<20).map { _ in try DatagramSocket(to: (client.address, client.port)) }
                for (id, socket) in sockets.enumerated() { socket.send(NameClient.query("Service.Test", id: id)) }
                #expect(try wait { try count("joined", ringway) == 19 })
                let asked = try #require(silent.receive())
                let question = try DNSMessage(asked.bytes)
                #expect(question.questionName == "service.test." && silent.receive(within: 0) == nil)
                // Strangers have another port; somebody with the right one lacks the id.
                var answer = asked.bytes
                answer[2] = 0x81
                answer[3] = 0x80
                var forged = answer
                forged[1] ^= 1
                let port = try #require(Int(asked.from.split(separator: ":").last ?? ""))
                try DatagramSocket().send(answer, to: "127.0.0.1", port)
                silent.send(forged, to: "127.0.0.1", port)
                #expect(try wait { try count("foreign", ringway) == 1 })
                silent.send(answer, to: "127.0.0.1", port)
                for (id, socket) in sockets.enumerated() {
                    let told = try DNSMessage(try #require(socket.receive()).bytes)
                    #expect(Int(told.id) == id && told.code == 0 && told.questionName == "Service.Test.")
                }
            }
        }

        @Test(arguments: Engines.available)
        func whoIsDeadOrSilentIsPassedOver(engine: String) throws {
            let upstream = try NameUpstream()
            let silent = try DatagramSocket()
            let dead = "127.0.0.1:\(try FreePort.take())"
            try withNames(engine, upstream: [dead, "127.0.0.1:\(silent.port)", upstream.place]) { (ringway, client) throws in
                for number in 0..<12 {
                    #expect(try client.answer("nobody\(number).test", overTCP: number % 2 == 1) == ["code 3"])
                }
                #expect(try count("attempts", ringway) > 12)
            }
        }

        @Test(arguments: Engines.available)
        func whenAllAreDeadWhatWasKnownIsToldAndTheRestFails(engine: String) throws {
            let upstream = try NameUpstream()
            try withNames(engine, upstream: [upstream.place]) { (ringway, client) throws in
                #expect(try client.ask("brief.test").answers.map(\.ttl) == [1])
                upstream.process.end()
                #expect(try wait { try client.ask("brief.test").answers.map(\.ttl) == [30] })
                let began = ContinuousClock.now
                #expect(try client.answer("nobody.test") == ["code 2"])
                // A resolver waits for five seconds; a closed port is known at once, and the host may be busy.
                #expect(ContinuousClock.now - began < .seconds(5))
                #expect(try client.answer("nobody2.test", overTCP: true) == ["code 2"])
                #expect(try client.ask("brief.test").answers.map(\.ttl) == [30])
                #expect(try count("staleHits", ringway) > 0)
                // It comes back.
                let again = try NameUpstream(port: upstream.port)
                #expect(try wait { try client.ask("brief.test").answers.map(\.ttl) == [1] })
                #expect(again.queries("brief.test") > 0)
            }
        }

        @Test(arguments: Engines.available)
        func silenceEndsInTime(engine: String) throws {
            let silent = try DatagramSocket()
            try withNames(engine, upstream: ["127.0.0.1:\(silent.port)"]) { (ringway, client) throws in
                let socket = try DatagramSocket(to: (client.address, client.port))
                socket.send(NameClient.query("service.test"))
                let told = try DNSMessage(try #require(socket.receive(within: 10_000)).bytes)
                #expect(told.code == 2)
                #expect(try count("timeouts", ringway) == 3)
                // A connection waits for its answer, though its client has said all.
                let connection = try TestSocket(to: client.address, client.port)
                try connection.send(NameClient.framed(NameClient.query("other.test")))
                connection.shutdownWrite()
                #expect(try DNSMessage(try NameClient.receive(from: connection)).code == 2)
                #expect(connection.ending() == nil)
            }
        }

        @Test(arguments: Engines.available)
        func beyondTheLimitQuestionsAreRefused(engine: String) throws {
            let silent = try DatagramSocket()
            try withNames(engine, upstream: ["127.0.0.1:\(silent.port)"], prefix: ["prlimit", "--nofile=256:256"]) {
                (ringway, client) throws in
                let socket = try DatagramSocket(to: (client.address, client.port))
                for id in 0..<24 { socket.send(NameClient.query("n\(id).test", id: id)) }
                // A sixteenth of the open files.
                var codes: [UInt16] = []
                for _ in 0..<8 { codes.append(try DNSMessage(try #require(socket.receive(within: 10_000)).bytes).code) }
                #expect(codes == Array(repeating: 5, count: 8))
                #expect(try count("rejects", ringway) == 8)
                for _ in 0..<16 { codes.append(try DNSMessage(try #require(socket.receive(within: 10_000)).bytes).code) }
                #expect(codes.count { $0 == 2 } == 16)
                #expect(try count("questionsActive", ringway) == 0)
            }
        }

        @Test func stubDomainsHaveServersOfTheirOwn() throws {
            let (everything, stub) = (try NameUpstream("everything"), try NameUpstream("stub"))
            try withNames(Engines.available[0], upstream: [everything.place], options: ["--dns-stub-domain", "who.test=\(stub.place)"]) {
                (_, client) throws in
                #expect(try client.answer("WHO.test", "TXT") == ["stub"])
                #expect(try client.answer("service.test") == ["192.0.2.7"])
                #expect(everything.queries("who.test") == 0 && stub.queries("service.test") == 0)
            }
        }

        @Test func ourselvesAreNotAsked() throws {
            try withNames(Engines.available[0], upstream: ["own"]) { (ringway, client) throws in
                #expect(try client.answer("service.test") == ["code 5"])
                #expect(ringway.log.contains("is not asked for other names than the cluster's: that is this process itself"))
            }
        }
    }
}
