import Addressing
import ArgumentParser
import ControlPlane
import Forwarding
import FoundationEssentials
import ObjectSources
import ServiceModel
import Testing

@testable import CLI

struct ShorthandTests {
    @Test(arguments: [
        ("9300=9301,9302", "127.0.0.1:9300", ["127.0.0.1:9301", "127.0.0.1:9302"]),
        ("0.0.0.0:6443=10.0.0.1:6443", "0.0.0.0:6443", ["10.0.0.1:6443"]),
        ("[::1]:80=[fd00::1]:8080,81", "[::1]:80", ["[fd00::1]:8080", "127.0.0.1:81"]),
        ("80=81, 82,81", "127.0.0.1:80", ["127.0.0.1:81", "127.0.0.1:82"]),
        ("80/tcp=81", "127.0.0.1:80", ["127.0.0.1:81"]),
    ])
    func addressesAreLoopbackUnlessGiven(text: String, listen: String, backends: [String]) throws {
        let shorthand = try Shorthand(text)
        #expect(shorthand.listen.description == listen)
        #expect(shorthand.backends.map(\.description) == backends)
    }

    @Test(arguments: [
        ("53/udp=10.0.0.2:53,10.0.0.3:53", TransportProtocol.udp, "127.0.0.1:53"), ("0.0.0.0:53/udp=54", .udp, "0.0.0.0:53"),
        ("[::1]:53/udp=54", .udp, "[::1]:53"), ("53/tcp=54", .tcp, "127.0.0.1:53"), ("53=54", .tcp, "127.0.0.1:53"),
    ])
    func theProtocolIsTCPUnlessNamed(text: String, transport: TransportProtocol, listen: String) throws {
        let shorthand = try Shorthand(text)
        #expect(shorthand.transport == transport && shorthand.listen.description == listen)
        #expect(shorthand.yaml.contains("protocol: UDP") == (transport == .udp))
    }

    @Test(arguments: [
        ("80=", "a backend is missing"), ("80=81,", "a backend is missing"), ("80=,81", "a backend is missing"),
        ("0=81", "\"0\" is not the address to listen on"), ("65536=81", "\"65536\" is not the address"),
        ("80=localhost:81", "names are not resolved"), ("80=0", "\"0\" is not a backend"), ("::1:80=81", "\"::1:80\" is not the address"),
        ("80=0.0.0.0:81", "no address to connect to"), ("53/sctp=54", "\"53/sctp\" is not the address to listen on"),
        ("/udp=53", "\"\" is not the address to listen on"), ("53=54/udp", "\"54/udp\" is not a backend"),
        ("80=81=82", "\"81=82\" is not a backend"),
    ])
    func whatIsWrongIsNamed(text: String, part: String) {
        let error = #expect(throws: Shorthand.Malformed.self) { try Shorthand(text) }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }

    @Test(arguments: [
        ("80=81", true), ("127.0.0.1:80=x", true), ("[::1]:80=", true), ("53/udp=1", true), ("[::1]:53/tcp=1", true), ("web.yaml", false),
        ("./80=81", false),
        ("a=b.yaml", false), ("dir/x=y", false), ("-", false), ("=80", false),
    ])
    func filesAreToldFromShorthands(argument: String, isShorthand: Bool) {
        #expect(Shorthand.isMeant(by: argument) == isShorthand)
    }

    @Test func theServicesOfOnePortHaveDifferentNames() throws {
        let names = try Shorthand.all(["80=81", "127.0.0.2:80=81", "90=91", "127.0.0.3:80=1"]).map(\.name)
        #expect(names == ["port-80", "port-80-2", "port-90", "port-80-3"])
        #expect(try Shorthand.all(["53=1", "53/udp=1", "127.0.0.2:53/udp=1"]).map(\.name) == ["port-53", "port-53-udp", "port-53-udp-2"])
    }

    @Test func theYAMLIsTheShortFormOfAService() throws {
        #expect(
            try Shorthand("9300=9301,9302,9303").yaml == """
                apiVersion: v1
                kind: Service
                metadata:
                  name: port-9300
                  annotations:
                    ringway.dev/endpoints: 127.0.0.1:9301, 127.0.0.1:9302, 127.0.0.1:9303
                spec:
                  externalIPs: [127.0.0.1]
                  ports:
                  - port: 9300

                """)
        #expect(try Shorthand("0.0.0.0:6443=10.0.0.1:6443").yaml.contains("type: NodePort"))
    }

    @Test func theYAMLOfAUDPPortNamesItsProtocol() throws {
        #expect(
            try Shorthand("53/udp=10.0.0.2:53,10.0.0.3:53").yaml == """
                apiVersion: v1
                kind: Service
                metadata:
                  name: port-53-udp
                  annotations:
                    ringway.dev/endpoints: 10.0.0.2:53, 10.0.0.3:53
                spec:
                  externalIPs: [127.0.0.1]
                  ports:
                  - port: 53
                    protocol: UDP

                """)
    }

    @Test func theYAMLLoadsBackToTheSameServices() throws {
        let shorthands = try Shorthand.all([
            "9300=9301,9302,9303", "0.0.0.0:6443=10.0.0.1:6443,10.0.0.2:6443", "[::1]:80=[fd00::1]:8080,81", "[::]:443=[::1]:444",
            "127.0.0.2:9300=9301", "10.0.0.1:1=[::ffff:1.2.3.4]:65535", "53=54", "53/udp=54,55", "0.0.0.0:53/udp=54", "[::1]:53/udp=54",
        ])
        let path = "/tmp/ringway-shorthand-\(UInt32.random(in: 0...UInt32.max)).yaml"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let yaml = shorthands.map(\.yaml).joined(separator: "---\n")
        #expect(FileManager.default.createFile(atPath: path, contents: Data(yaml.utf8)))
        let state = ManifestSource(roots: [path], isWatching: false).load()
        #expect(state.diagnostics.isEmpty, "\(state.diagnostics)")
        let loaded = Dictionary(grouping: state.objects, by: \.key)
        #expect(loaded.count == shorthands.count)
        for shorthand in shorthands {
            let object = try #require(loaded[shorthand.object.key]?.first)
            #expect(object.metadata == shorthand.object.metadata)
            #expect(withoutLocations(object) == withoutLocations(shorthand.object))
        }
    }

    /// The Service, with the places of its ports made the same.
    private func withoutLocations(_ object: KubernetesObject) -> Service? {
        guard case .service(var service) = object.body else { return nil }
        for index in service.ports.indices { service.ports[index].location = SourceLocation(file: "", line: 1, column: 1) }
        return service
    }
}

struct DurationArgumentTests {
    @Test(arguments: [
        ("30s", Duration.seconds(30)), ("500ms", .milliseconds(500)), ("2m", .seconds(120)), ("1h", .seconds(3600)),
        ("1.5s", .milliseconds(1500)), ("0s", .zero),
    ])
    func unitsAreRead(text: String, duration: Duration) {
        #expect(DurationArgument(argument: text)?.duration == duration)
    }

    @Test(arguments: ["", "30", "s", "-1s", "1 s", "1d", "1e9s", "1.2.3s", "99999999999h", "٣s"])
    func anythingElseIsRefused(text: String) {
        #expect(DurationArgument(argument: text) == nil)
    }

    @Test(arguments: ["30s", "500ms", "2m", "1h", "1500ms", "0s", "1h30m"])
    func textIsReadBackToTheSame(text: String) {
        #expect(DurationArgument(argument: text)?.defaultValueDescription == text)
    }
}

struct RunCommandTests {
    @Test func theDefaultsAreThoseOfTheManual() throws {
        let command = try RunCommand.parse(["9300=9301"])
        #expect(command.engine == .auto)
        #expect(command.pin == .auto)
        #expect(command.grace.duration == .seconds(30))
        #expect(command.connectAttemptTimeout.duration == .seconds(1))
        #expect(command.connectTimeout.duration == .seconds(3))
        #expect(command.proxyHeaderTimeout.duration == .seconds(3))
        #expect(command.idleTimeout.duration == .seconds(3600))
        #expect(command.halfCloseTimeout.duration == .seconds(120))
        #expect(command.tcpKeepalive.duration == .seconds(120))
        #expect(command.tcpUserTimeout.duration == .seconds(180))
        #expect(command.logFormat == .text)
        #expect(command.logConnections == .off)
        #expect(command.adminSocket == nil)
        #expect(command.adminListen == nil)
        #expect(command.seed == nil)
        #expect(command.workers == nil)
        #expect(command.connectionsMax == nil)
        #expect(command.sourceAddresses.addresses == [])
    }

    @Test(arguments: [
        ("10.0.0.5", ["10.0.0.5"]), ("10.0.0.5, fd00::5,127.0.0.9", ["10.0.0.5", "fd00::5", "127.0.0.9"]),
        ("10.0.0.8/30", ["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"]), ("10.0.0.8/32", ["10.0.0.8"]),
        ("fd00::fe/127", ["fd00::fe", "fd00::ff"]),
    ])
    func sourceAddressesAreAddressesAndSmallRanges(text: String, addresses: [String]) throws {
        let command = try RunCommand.parse(["80=81", "--source-addresses", text])
        #expect(command.sourceAddresses.addresses.map(\.description) == addresses)
    }

    @Test(arguments: [
        ("", "\"\" is neither an address nor a range"), ("10.0.0.5,", "\"\" is neither"), ("eth0", "\"eth0\" is neither"),
        ("10.0.0.5:80", "\"10.0.0.5:80\" is neither"), ("10.0.0.9/29", "\"10.0.0.9/29\" is neither"),
        ("10.0.0.0/27", "10.0.0.0/27 is more than 16 addresses"), ("fd00::/64", "fd00::/64 is more than 16"),
        ("10.0.0.0/28,10.0.1.0", "At most 16 addresses of each family"), ("0.0.0.0", "0.0.0.0 is no address to connect from"),
        ("10.0.0.5,10.0.0.4/31", "10.0.0.5 is listed twice"),
    ])
    func whatIsWrongWithSourceAddressesIsNamed(text: String, part: String) {
        let error = #expect(throws: (any Error).self) { try RunCommand.parse(["80=81", "--source-addresses", text]) }
        #expect(error.map { RunCommand.exitCode(for: $0).rawValue } == 64)
        let message = error.map { RunCommand.fullMessage(for: $0) } ?? ""
        #expect(message.contains(part), "\(message)")
    }

    @Test(arguments: ["off", "0", "0s"])
    func timeoutsMayBeOff(text: String) throws {
        let command = try RunCommand.parse([
            "80=81", "--idle-timeout", text, "--half-close-timeout", text, "--tcp-keepalive", text, "--tcp-user-timeout", text,
        ])
        let timeouts = [command.idleTimeout, command.halfCloseTimeout, command.tcpKeepalive, command.tcpUserTimeout]
        #expect(timeouts.allSatisfy { $0.duration == .zero && $0.defaultValueDescription == "off" })
    }

    @Test(
        arguments: [
            ("127.0.0.1:9400", .address(IPAddress("127.0.0.1")!, port: 9400)), ("[::1]:80", .address(IPAddress("::1")!, port: 80)),
            ("0.0.0.0:0", .address(.anyIPv4, port: 0)), ("none", AdminListenArgument.none), ("9400", nil), (":9400", nil),
            ("::1:9400", nil), ("[127.0.0.1]:80", nil), ("localhost:9400", nil), ("127.0.0.1:65536", nil), ("", nil),
        ] as [(String, AdminListenArgument?)])
    func whereMetricsAreIsAnAddressAndAPort(text: String, listen: AdminListenArgument?) {
        #expect(AdminListenArgument(argument: text) == listen)
    }

    @Test func rangesOfPodsAreGivenAtOnceOrOneByOne() throws {
        let command = try RunCommand.parse(["80=81", "--cluster-cidr", "10.0.0.0/8,fd00::/64", "--cluster-cidr", "192.0.2.0/24"])
        #expect(command.node.node.clusterRanges.map(\.description) == ["10.0.0.0/8", "fd00::/64", "192.0.2.0/24"])
        #expect(try RunCommand.parse(["80=81"]).node.node.clusterRanges.isEmpty)
    }

    @Test func filesAndShorthandsMix() throws {
        let command = try RunCommand.parse([
            "web.yaml", "80=81", "-", "--engine", "io_uring", "--workers", "3", "--admin-socket", "none", "--log-format", "json", "--grace",
            "1m", "--log-connections", "errors",
        ])
        #expect(command.sources == ["web.yaml", "80=81", "-"])
        #expect(command.engine == .ioUring)
        #expect(command.workers == 3)
        #expect(command.adminSocket == AdminSocketArgument.none)
        #expect(command.grace.duration == .seconds(60))
        #expect(command.logConnections == .errors)
    }

    @Test(arguments: [
        [], ["80=x"], ["-", "-"], ["web.yaml", "--print"], ["a", "--workers", "0"], ["a", "--grace", "1"], ["a", "--engine", "kqueue"],
        ["a", "--idle-timeout", "1ms"], ["a", "--half-close-timeout", "never"], ["a", "--tcp-keepalive", "10h"],
        ["a", "--tcp-user-timeout", "1000h"], ["a", "--connect-timeout", "0s"], ["a", "--proxy-header-timeout", "0s"],
        ["a", "--admin-socket", ""], ["a", "--pin", "yes"], ["a", "--cluster-cidr", "10.0.0.1/8"],
        ["a", "--log-connections", "some"], ["a", "--connections-max", "0"],
        ["a", "--listeners-max", "0"],
    ])
    func usageErrorsExitWith64(arguments: [String]) {
        let error = #expect(throws: (any Error).self) { try RunCommand.parse(arguments) }
        #expect(error.map { RunCommand.exitCode(for: $0).rawValue } == 64)
    }

    @Test func checkRefusesAShorthandAndNamesPrint() {
        let error = #expect(throws: (any Error).self) { try CheckCommand.parse(["80=81"]) }
        #expect(error.map { CheckCommand.fullMessage(for: $0).contains("--print 80=81") } == true)
    }
}

struct PinChoiceTests {
    @Test func autoPinsOnlyWhenEachAllowedCPUHasOneWorker() {
        #expect(PinChoice.auto.pins(workers: 2, allowedCPUs: 2))
        #expect(!PinChoice.auto.pins(workers: 1, allowedCPUs: 2))
        #expect(!PinChoice.auto.pins(workers: 3, allowedCPUs: 2))
        #expect(PinChoice.on.pins(workers: 3, allowedCPUs: 2))
        #expect(!PinChoice.off.pins(workers: 2, allowedCPUs: 2))
    }
}
