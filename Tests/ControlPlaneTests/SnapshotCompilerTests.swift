import Addressing
import ControlPlane
import Routing
import ServiceModel
import Testing

struct SnapshotCompilerTests {
    private func echo(
        _ name: String, _ listen: String, _ endpoints: [String], affinity: Service.Affinity = .none, line: Int = 1,
        settings change: (inout Service.Settings) -> Void = { _ in }
    ) -> KubernetesObject {
        let address = Objects.socket(listen)
        return Objects.service(name, line: line) {
            $0.externalIPs = [address.address]
            $0.affinity = affinity
            $0.ports = [Objects.servicePort(Int(address.port.rawValue), line: line)]
            $0.inlineEndpoints = endpoints.map(Objects.socket)
            change(&$0.settings)
        }
    }

    @Test func theSameObjectsPublishNothing() throws {
        var compiler = SnapshotCompiler()
        let objects = [echo("a", "127.0.0.1:80", ["10.0.0.1:80"]), echo("b", "127.0.0.1:81", ["10.0.0.2:80"])]
        let first = try #require(compiler.compile(objects).snapshot)
        #expect(first.generation == 1)
        #expect(compiler.compile(objects).snapshot == nil)
        #expect(compiler.compile(objects.reversed()).snapshot == nil)
        #expect(compiler.snapshot.generation == 1)
    }

    @Test func timeoutsAreSettingsOfTheGroupAndAChangeMakesAnother() throws {
        var compiler = SnapshotCompiler()
        let plain = try #require(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"])]).snapshot)
        #expect(plain.group("127.0.0.1:80")?.settings.timeouts == Timeouts())
        let changed = echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) {
            $0.idleTimeout = .seconds(5)
            $0.halfCloseTimeout = .zero
            $0.keepalive = .seconds(60)
            $0.userTimeout = .seconds(90)
            $0.connectTimeout = .seconds(7)
            $0.connectAttemptTimeout = .milliseconds(300)
        }
        let after = try #require(compiler.compile([changed]).snapshot)
        var expected = Timeouts(idle: .seconds(5), halfClose: .zero, keepalive: .seconds(60), userTimeout: .seconds(90))
        expected.connect = .seconds(7)
        expected.connectAttempt = .milliseconds(300)
        #expect(after.group("127.0.0.1:80")?.settings.timeouts == expected)
    }

    @Test(arguments: [(nil, false), (.pass, false), (.close, true)] as [(Service.UnexpectedProxyHeader?, Bool)])
    func headersThatAreNotDueAreRefusedWhereTheServiceSaysSo(choice: Service.UnexpectedProxyHeader?, isRefused: Bool) throws {
        var compiler = SnapshotCompiler()
        let object = echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) { $0.unexpectedProxyHeader = choice }
        #expect(try #require(compiler.compile([object]).snapshot).group("127.0.0.1:80")?.settings.refusesUnexpectedHeaders == isRefused)
    }

    @Test func nothingToServePublishesNothing() {
        var compiler = SnapshotCompiler()
        #expect(compiler.compile([]).snapshot == nil)
        #expect(compiler.snapshot.generation == 0)
    }

    @Test func aChangeOfOneServiceLeavesTheGroupsOfOthersTheSameObjects() throws {
        var compiler = SnapshotCompiler()
        let b = echo("b", "127.0.0.1:81", ["10.0.0.2:80"])
        let before = try #require(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]), b]).snapshot)
        let after = try #require(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80", "10.0.0.3:80"]), b]).snapshot)
        #expect(after.generation == 2)
        #expect(before.group("127.0.0.1:80") !== after.group("127.0.0.1:80"))
        #expect(before.group("127.0.0.1:81") === after.group("127.0.0.1:81"))
    }

    @Test func aChangeOfASliceRebuildsItsServiceOnly() throws {
        var compiler = SnapshotCompiler()
        let service = Objects.service("web") {
            $0.clusterIPs = [Objects.ip("172.30.0.41"), Objects.ip("fd00:172::41")]
            $0.ports = [Objects.servicePort(80)]
        }
        let other = echo("b", "127.0.0.1:81", ["10.0.0.2:80"])
        let v6 = Objects.slice("web-6", of: "web", family: .ipv6, [Objects.ready("fd00:10::1")])
        let before = try #require(
            compiler.compile([service, other, v6, Objects.slice("web-4", of: "web", [Objects.ready("10.0.0.1")])]).snapshot)
        let outcome = compiler.compile([service, other, v6, Objects.slice("web-4", of: "web", [Objects.ready("10.0.0.5")])])
        let after = try #require(outcome.snapshot)
        #expect(before.group("172.30.0.41:80") !== after.group("172.30.0.41:80"))
        #expect(before.group("[fd00:172::41]:80") === after.group("[fd00:172::41]:80"), "the other family did not change")
        #expect(before.group("127.0.0.1:81") === after.group("127.0.0.1:81"))
        #expect(outcome.changes.endpointsAdded == 1)
        #expect(outcome.changes.endpointsRemoved == 1)
    }

    @Test func movingAnObjectWithinItsFilePublishesNothingButMovesItsNotices() {
        var compiler = SnapshotCompiler()
        _ = compiler.compile([echo("a", "127.0.0.1:80", ["127.0.0.1:80"], line: 3)])
        let outcome = compiler.compile([echo("a", "127.0.0.1:80", ["127.0.0.1:80"], line: 9)])
        #expect(outcome.snapshot == nil)
        #expect(outcome.notices.map(\.location.line) == [9])
    }

    @Test func aChangeOfAffinityBuildsANewGroup() throws {
        var compiler = SnapshotCompiler()
        let before = try #require(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"])]).snapshot)
        let after = try #require(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"], affinity: .clientIP)]).snapshot)
        #expect(before.group("127.0.0.1:80") !== after.group("127.0.0.1:80"))
        #expect(after.group("127.0.0.1:80")?.selection == .clientIP)
    }

    static let selections: [(Service.Algorithm?, Service.Affinity, Selection)] = [
        (nil, .none, .random), (nil, .clientIP, .clientIP), (.random, .none, .random), (.roundRobin, .none, .roundRobin),
        (.leastConnections, .none, .leastConnections), (.consistentHash, .none, .clientIP), (.consistentHash, .clientIP, .clientIP),
    ]

    @Test(arguments: selections)
    func theAlgorithmReachesTheGroup(_ algorithm: Service.Algorithm?, _ affinity: Service.Affinity, _ selection: Selection) throws {
        var compiler = SnapshotCompiler()
        let snapshot = try #require(
            compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"], affinity: affinity) { $0.algorithm = algorithm }]).snapshot)
        #expect(snapshot.group("127.0.0.1:80")?.selection == selection)
    }

    @Test func aChangeOfSettingsBuildsANewGroupForThatServiceOnly() throws {
        var compiler = SnapshotCompiler()
        let b = echo("b", "127.0.0.1:81", ["10.0.0.2:80"])
        let before = try #require(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]), b]).snapshot)
        let outcome = compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) { $0.algorithm = .roundRobin }, b])
        let after = try #require(outcome.snapshot)
        #expect(before.group("127.0.0.1:80") !== after.group("127.0.0.1:80"))
        #expect(before.group("127.0.0.1:81") === after.group("127.0.0.1:81"))
        #expect(outcome.changes.servicesChanged == 1 && outcome.changes.endpointsAdded == 0 && outcome.changes.listenersAdded == 0)
        _ = compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]), b])
        // The default written out is no change.
        #expect(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) { $0.algorithm = .random }, b]).snapshot == nil)
    }

    @Test func limitsReachTheGroup() throws {
        var compiler = SnapshotCompiler()
        let snapshot = try #require(
            compiler.compile([
                echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) {
                    $0.connectionsMax = 10
                    $0.connectionsPerSourceMax = 2
                }
            ]).snapshot)
        let settings = snapshot.group("127.0.0.1:80")?.settings
        #expect(settings?.connectionsMax == 10 && settings?.connectionsPerSourceMax == 2)
        #expect(compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) { $0.connectionsMax = 10 }]).changes.servicesChanged == 1)
    }

    @Test(arguments: [(nil, 5), (0, 0), (7, 7)] as [(Int?, UInt8)])
    func ejectionReachesTheGroup(_ annotation: Int?, _ failures: UInt8) throws {
        var compiler = SnapshotCompiler()
        let snapshot = try #require(
            compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) { $0.ejectAfter = annotation }]).snapshot)
        #expect(snapshot.group("127.0.0.1:80")?.settings.ejectAfter == failures)
    }

    @Test func theProxyProtocolReachesTheGroup() throws {
        var compiler = SnapshotCompiler()
        let range = try #require(IPRange("10.0.0.0/8"))
        let objects = [
            echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) {
                $0.proxyProtocol = .v2
                $0.acceptProxyProtocolFrom = [range]
            }, echo("b", "127.0.0.1:81", ["10.0.0.1:80"]),
        ]
        let snapshot = try #require(compiler.compile(objects).snapshot)
        let (a, b) = (try #require(snapshot.group("127.0.0.1:80")), try #require(snapshot.group("127.0.0.1:81")))
        #expect(a.settings.proxyProtocol == .v2 && b.settings.proxyProtocol == nil)
        let (near, mapped, far) = (Objects.ip("10.1.2.3"), Objects.ip("::ffff:10.1.2.3"), Objects.ip("11.1.2.3"))
        #expect(a.expectsHeader(from: near) && a.expectsHeader(from: mapped) && !a.expectsHeader(from: far))
        #expect(!b.expectsHeader(from: near))
    }

    @Test func weightsReachEndpointsOfSlicesAndInlineOnesAlike() throws {
        let weights = [
            EndpointWeight(address: Objects.ip("10.0.0.1"), weight: 3),
            EndpointWeight(address: Objects.ip("10.0.0.1"), port: PortNumber(81), weight: 0),
        ]
        var compiler = SnapshotCompiler()
        let snapshot = try #require(
            compiler.compile([
                echo("a", "127.0.0.1:80", ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"]) { $0.weights = weights },
                Objects.service("b") {
                    $0.externalIPs = [Objects.ip("127.0.0.1")]
                    $0.ports = [Objects.servicePort(90)]
                    $0.settings.weights = weights
                },
                Objects.slice("b-1", of: "b", [Objects.ready("10.0.0.1"), Objects.ready("10.0.0.2")]),
            ]).snapshot)
        #expect(snapshot.group("127.0.0.1:80")?.endpoints.map(\.weight) == [3, 0, 1])
        #expect(snapshot.group("127.0.0.1:90")?.endpoints.map(\.weight) == [3, 1])
    }

    @Test func aChangeOfWeightBuildsANewGroup() throws {
        func objects(_ weight: Int) -> [KubernetesObject] {
            [
                echo("a", "127.0.0.1:80", ["10.0.0.1:80", "10.0.0.2:80"]) {
                    $0.weights = [EndpointWeight(address: Objects.ip("10.0.0.1"), weight: weight)]
                }
            ]
        }
        var compiler = SnapshotCompiler()
        _ = compiler.compile(objects(2))
        #expect(compiler.compile(objects(3)).changes.servicesChanged == 1)
        #expect(compiler.compile(objects(3)).snapshot == nil)
    }

    @Test func weightZeroForAllIsSaidAndRefusesClients() throws {
        var compiler = SnapshotCompiler()
        let outcome = compiler.compile([
            echo("a", "127.0.0.1:80", ["10.0.0.1:80"]) { $0.weights = [EndpointWeight(address: Objects.ip("10.0.0.1"), weight: 0)] }
        ])
        #expect(outcome.notices.map(\.message) == ["Service default/a: every endpoint has weight 0, so new connections are refused"])
        #expect(try #require(outcome.snapshot).verdict(to: "127.0.0.1:80") == .refused)
        #expect(outcome.snapshot?.group("127.0.0.1:80")?.isEmpty == true)
    }

    @Test func aServiceThatIsGoneTakesItsListenersWithIt() throws {
        var compiler = SnapshotCompiler()
        let b = echo("b", "127.0.0.1:81", ["10.0.0.2:80"])
        _ = compiler.compile([echo("a", "127.0.0.1:80", ["10.0.0.1:80"]), b])
        let outcome = compiler.compile([b])
        #expect(outcome.snapshot?.frontends.count == 1)
        #expect(outcome.changes.servicesRemoved == 1)
        #expect(outcome.changes.listenersRemoved == 1)
        #expect(outcome.changes.endpointsRemoved == 1)
        #expect(outcome.totals.services == 1)
        #expect(compiler.compile([]).snapshot?.frontends.isEmpty == true)
    }

    @Test func theFirstByNameKeepsAFrontendThatTwoAskForAndBothAreNamed() throws {
        var compiler = SnapshotCompiler()
        let outcome = compiler.compile([
            echo("b", "127.0.0.1:80", ["10.0.0.2:80"], line: 7), echo("a", "127.0.0.1:80", ["10.0.0.1:80"], line: 20),
        ])
        #expect(outcome.snapshot?.verdict(to: "127.0.0.1:80") == ["10.0.0.1:80"])
        let notice = try #require(outcome.notices.first)
        #expect(outcome.notices.count == 1)
        #expect(notice.severity == .error)
        #expect(notice.location.line == 7)
        #expect(notice.message.contains("default/a"))
        #expect(notice.message.contains("default/b"))
        #expect(notice.message.contains("tcp 127.0.0.1:80"))

        // The loser takes over when the winner goes.
        let next = compiler.compile([echo("b", "127.0.0.1:80", ["10.0.0.2:80"], line: 7)])
        #expect(next.snapshot?.verdict(to: "127.0.0.1:80") == ["10.0.0.2:80"])
        #expect(next.notices.isEmpty)
    }

    @Test func aClashIsToldWhereTheServiceStandsNow() {
        var compiler = SnapshotCompiler()
        let first = echo("a", "127.0.0.1:80", ["10.0.0.1:80"], line: 1)
        _ = compiler.compile([first, echo("b", "127.0.0.1:80", ["10.0.0.2:80"], line: 7)])
        let outcome = compiler.compile([first, echo("b", "127.0.0.1:80", ["10.0.0.2:80"], line: 9)])
        #expect(outcome.snapshot == nil)
        #expect(outcome.notices.map(\.location.line) == [9])
    }

    @Test func anEndpointStopsBeingALoopWhenTheListenerItIsGoes() throws {
        var compiler = SnapshotCompiler()
        let front = echo("front", "127.0.0.1:80", ["127.0.0.1:81", "10.0.0.1:80"])
        let aside = echo("aside", "127.0.0.1:90", ["10.0.0.9:80"])
        let looped = compiler.compile([front, aside, echo("next", "127.0.0.1:81", ["10.0.0.2:80"])])
        #expect(looped.snapshot?.verdict(to: "127.0.0.1:80") == ["10.0.0.1:80"])
        #expect(looped.notices.map(\.severity) == [.warning])
        let before = try #require(looped.snapshot)
        let after = try #require(compiler.compile([front, aside]).snapshot)
        #expect(after.verdict(to: "127.0.0.1:80") == ["10.0.0.1:80", "127.0.0.1:81"])
        #expect(before.group("127.0.0.1:90") === after.group("127.0.0.1:90"))
    }

    @Test func sctpPortsAreSaidNotToBeForwarded() {
        var compiler = SnapshotCompiler()
        let outcome = compiler.compile([
            Objects.service("dns") {
                $0.clusterIPs = [Objects.ip("10.96.0.10")]
                $0.inlineEndpoints = [Objects.socket("10.0.0.1:53")]
                $0.ports = [Objects.servicePort(53, "dns", .sctp, line: 8), Objects.servicePort(53, "dns-tcp", line: 9)]
            }
        ])
        #expect(outcome.snapshot?.frontends.count == 1)
        #expect(outcome.notices.map(\.message) == ["Service default/dns: SCTP is not forwarded yet; port 53 (dns) has no listener"])
        #expect(outcome.notices.first?.location.line == 8)
    }

    @Test func noticesNameWhatIsMissing() {
        func notices(_ objects: KubernetesObject...) -> [String] {
            var compiler = SnapshotCompiler()
            return compiler.compile(objects).notices.map(\.message)
        }
        let web = Objects.service("web") {
            $0.clusterIPs = [Objects.ip("10.96.0.1")]
            $0.ports = [Objects.servicePort(80, "http")]
        }
        #expect(notices(web).first?.contains("no EndpointSlice with the label kubernetes.io/service-name: web") == true)
        #expect(
            notices(web, Objects.slice("web-1", of: "web", ports: [Objects.port(80, "web")], [Objects.ready("10.0.0.1")]))
                == [
                    "Service default/web:http has no endpoints: no EndpointSlice of it has a TCP port named \"http\" "
                        + "(TCP ports there: \"web\")"
                ])
        #expect(
            notices(web, Objects.slice("web-1", of: "web", ports: [Objects.port(80, "http")], [Objects.unready("10.0.0.1")]))
                == ["Service default/web:http: no endpoint is ready (of 1)"])
        #expect(
            notices(Objects.service("lost") { $0.ports = [Objects.servicePort(80)] }).first?.contains("has no address to listen on") == true
        )
        #expect(notices(Objects.slice("web-1", of: "web", [])).first?.contains("there is no such Service") == true)
        #expect(notices(web, web).contains { $0.contains("is also at test.yaml:1:1") })
    }

    @Test func totalsCountServicesListenersAndEndpoints() {
        var compiler = SnapshotCompiler()
        let outcome = compiler.compile([
            echo("a", "127.0.0.1:80", ["10.0.0.1:80", "10.0.0.2:80"]),
            Objects.service("b") {
                $0.type = .nodePort
                $0.ports = [Objects.servicePort(80, nodePort: 30080)]
                $0.inlineEndpoints = [Objects.socket("10.0.0.1:80")]
            },
        ])
        #expect(outcome.totals.services == 2)
        #expect(outcome.totals.listeners == 3)
        #expect(outcome.totals.endpoints == 3)
        #expect(outcome.changes.servicesAdded == 2)
        #expect(outcome.changes.listenersAdded == 3)
    }

    @Test func aThousandServicesCompileOnceAndThenOneAtATime() throws {
        var compiler = SnapshotCompiler()
        var objects = (0..<1000).map {
            echo("s\($0)", "10.96.\($0 / 250).\($0 % 250):80", ["10.0.0.1:\(1000 + $0)", "10.0.0.2:\(1000 + $0)"])
        }
        let before = try #require(compiler.compile(objects).snapshot)
        objects[500] = echo("s500", "10.96.2.0:80", ["10.0.0.3:80"])
        let after = try #require(compiler.compile(objects).snapshot)
        let replaced = after.frontends.filter { before.frontends[$0.key]?.group !== $0.value.group }
        #expect(replaced.map(\.key.description) == ["tcp 10.96.2.0:80"])
    }
}
