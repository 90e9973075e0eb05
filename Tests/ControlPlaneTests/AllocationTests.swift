import Addressing
import ControlPlane
import ServiceModel
import Testing

/// Allocations and the Services they were made for, as one who admits everything would keep them.
struct AllocationCluster {
    var allocations: Allocations
    private(set) var services: [ServiceKey: Service] = [:]

    init(_ ranges: String..., ports: ClosedRange<Int> = 30000...32767, acceptsLoopback: Bool = false, seed: UInt64 = 1) {
        let settings = Self.settings(ranges, ports: ports, acceptsLoopback: acceptsLoopback)
        guard let allocations = try? Allocations(settings, seed: seed) else { preconditionFailure("\(ranges) can't be used") }
        self.allocations = allocations
    }

    static func settings(_ ranges: [String], ports: ClosedRange<Int> = 30000...32767, acceptsLoopback: Bool = false) -> Allocations.Settings
    {
        Allocations.Settings(
            serviceRanges: ranges.map(Objects.range),
            nodePorts: Objects.portNumber(ports.lowerBound)...Objects.portNumber(ports.upperBound),
            acceptsLoopback: acceptsLoopback)
    }

    /// The one Service that is given an address of its own is named with its namespace.
    static func key(_ name: String) -> ServiceKey {
        ServiceKey(namespace: name == "kube-dns" ? "kube-system" : "default", name: name)
    }

    /// The Service as admitted, or the API server's words.
    @discardableResult
    mutating func apply(
        _ name: String, uid: String? = nil, isAdmitted: Bool = true, _ change: (inout Service) -> Void = { _ in }
    ) throws -> Service {
        let key = Self.key(name)
        var service = services[key] ?? Service()
        if service.ports.isEmpty { service.ports = [Objects.servicePort(80)] }
        change(&service)
        let transaction = try allocations.allocate(&service, for: key, uid: uid, old: services[key])
        if isAdmitted {
            allocations.commit(transaction, as: service)
            services[key] = service
        } else {
            allocations.revert(transaction)
        }
        return service
    }

    mutating func refusal(_ name: String, _ change: (inout Service) -> Void = { _ in }) -> String? {
        do {
            try apply(name, change)
            return nil
        } catch {
            return (error as? AllocationError)?.message(ofService: name)
        }
    }

    mutating func delete(_ name: String, at time: Int64 = 0) {
        services[Self.key(name)] = nil
        allocations.gone(Self.key(name), at: time)
    }
}

extension Objects {
    static func range(_ text: String) -> IPRange {
        guard let range = IPRange(text) else { preconditionFailure("\(text) is no range") }
        return range
    }

    static func portNumber(_ number: Int) -> PortNumber {
        guard let port = PortNumber(number) else { preconditionFailure("\(number) is no port") }
        return port
    }
}

private func nodePort(_ ports: Service.Port...) -> (inout Service) -> Void {
    {
        $0.type = .nodePort
        $0.ports = ports
    }
}

private func numbers(_ service: Service) -> [Int?] { service.ports.map { port in port.nodePort.map { Int($0.rawValue) } } }

struct AllocationBandTests {
    @Test func theClustersDNSIsGivenTheTenthAddress() throws {
        var cluster = AllocationCluster("10.96.0.0/12", "fd00:10:96::/112")
        let service = try cluster.apply("kube-dns") { $0.ipFamilyPolicy = .requireDualStack }
        #expect(service.clusterIPs.map(\.description) == ["10.96.0.10", "fd00:10:96::a"])
        // Where another has it, any other; and a range may be too small.
        var taken = AllocationCluster("10.96.0.0/12")
        try taken.apply("web") { $0.clusterIPs = IPAddress("10.96.0.10").map { [$0] } ?? [] }
        #expect(try taken.apply("kube-dns").clusterIPs.map(\.description) != ["10.96.0.10"])
        var small = AllocationCluster("10.96.0.0/29")
        #expect(try small.apply("kube-dns").clusterIPs.count == 1)
    }

    @Test(
        arguments: [
            // The range, its first and last automatic address, and the first and last of the static band.
            ("10.96.0.0/22", "10.96.0.65", "10.96.3.254", "10.96.0.1", "10.96.0.64"),
            ("10.96.0.0/27", "10.96.0.17", "10.96.0.30", "10.96.0.1", "10.96.0.16"),
            ("10.96.0.0/28", "10.96.0.1", "10.96.0.14", nil, nil),
            ("10.96.0.0/30", "10.96.0.1", "10.96.0.2", nil, nil),
            ("fd00::/120", "fd00::11", "fd00::ff", "fd00::1", "fd00::10"),
        ] as [(String, String, String, String?, String?)])
    func automaticAddressesComeFromTheDynamicBandWhileItHasAny(
        range: String, first: String, last: String, staticFirst: String?, staticLast: String?
    ) throws {
        var cluster = AllocationCluster(range)
        var given: [IPAddress] = []
        while let service = try? cluster.apply("s\(given.count)") { given += service.clusterIPs }
        #expect(Set(given).count == given.count)
        let dynamic = Objects.ip(first)...Objects.ip(last)
        let dynamicCount = given.filter(dynamic.contains).count
        #expect(dynamicCount == Int(Objects.ip(last).low - Objects.ip(first).low) + 1)
        #expect(given.prefix(dynamicCount).allSatisfy(dynamic.contains))
        #expect(given.dropFirst(dynamicCount).first == staticFirst.map(Objects.ip))
        #expect(given.dropFirst(dynamicCount).last == staticLast.map(Objects.ip))
        #expect(cluster.refusal("z") == "Internal error occurred: failed to allocate a serviceIP for Service \"z\": range is full")
    }

    @Test func automaticNodePortsLeaveTheFirst86ToThoseWhoAsk() throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        var given: [Int] = []
        while let service = try? cluster.apply("s\(given.count)", nodePort(Objects.servicePort(80))) {
            given += numbers(service).compactMap(\.self)
        }
        #expect(given.prefix(2768 - 86).sorted() == Array(30086...32767))
        #expect(Array(given.dropFirst(2768 - 86)) == Array(30000...30085))
        #expect(given.prefix(2682) != given.prefix(2682).sorted()[...], "the first one is drawn")
        #expect(
            cluster.refusal("z", nodePort(Objects.servicePort(80)))
                == "Internal error occurred: failed to allocate a nodePort: range is full")
    }

    @Test func anAutomaticAddressOfALargeRangeIsDrawn() throws {
        let given = try (UInt64(0)..<20).map { seed in
            var cluster = AllocationCluster("10.96.0.0/12", seed: seed)
            return try cluster.apply("a").clusterIPs[0]
        }
        #expect(Set(given).count == 20)
        #expect(given.allSatisfy { $0 > Objects.ip("10.96.1.0") && $0 < Objects.ip("10.111.255.255") })
        var large = AllocationCluster("fd00:1::/64")
        #expect(Objects.range("fd00:1::/64").contains(try large.apply("a").clusterIPs[0]))
    }

    @Test(arguments: ["10.96.0.1", "10.96.0.10", "10.111.255.254"])
    func anyUsableAddressMayBeAskedFor(address: String) throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        #expect(try cluster.apply("a") { $0.clusterIPs = [Objects.ip(address)] }.clusterIPs == [Objects.ip(address)])
    }

    @Test(arguments: ["10.96.0.0", "10.111.255.255", "10.1.2.3", "127.0.0.1"])
    func whatIsNotUsableIsRefused(address: String) {
        var cluster = AllocationCluster("10.96.0.0/12")
        let message =
            "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"\(address)\"]: failed to allocate IP \(address): "
            + "the provided IP (\(address)) is not in the valid range. The range of valid IPs is 10.96.0.0/12"
        #expect(cluster.refusal("a") { $0.clusterIPs = [Objects.ip(address)] } == message)
        #expect(cluster.allocations.addressCount == 0)
    }

    @Test func loopbackAddressesMayBeUsedByAllWhereTheyAreAccepted() throws {
        var cluster = AllocationCluster("10.96.0.0/12", acceptsLoopback: true)
        for name in ["a", "b"] {
            let service = try cluster.apply(name) { $0.clusterIPs = [.loopbackIPv6] }
            #expect(service.ipFamilies == [.ipv6])
        }
        #expect(cluster.refusal("c") { $0.clusterIPs = [Objects.ip("10.1.1.1")] } != nil)
    }

    @Test(arguments: [
        (["10.0.0.0/31"], "10.0.0.0/31 is too small: give at least /30 for IPv4 or /126 for IPv6"),
        (["fd00::/48"], "fd00::/48 is too large: give /64 or smaller for IPv6"),
        ([], "give one range, or two of different families"),
        (["10.0.0.0/16", "10.1.0.0/16"], "give one range, or two of different families"),
    ])
    func rangesThatCannotBeUsedAreNamed(ranges: [String], message: String) throws {
        let error = #expect(throws: Allocations.UnusableRange.self) { try Allocations(AllocationCluster.settings(ranges), seed: 1) }
        #expect(error?.description == message)
    }
}

struct AllocationRuleTests {
    @Test func whatAnotherServiceHoldsIsRefused() throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        try cluster.apply("other") {
            nodePort(Objects.servicePort(80, nodePort: 30080))(&$0)
            $0.clusterIPs = [Objects.ip("10.96.0.10")]
        }
        #expect(
            cluster.refusal("web") { $0.clusterIPs = [Objects.ip("10.96.0.10")] }
                == "Service \"web\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: "
                + "failed to allocate IP 10.96.0.10: provided IP is already allocated")
        for transport in [TransportProtocol.tcp, .udp] {
            #expect(
                cluster.refusal("web", nodePort(Objects.servicePort(80, "", transport, nodePort: 30080)))
                    == "Service \"web\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated")
        }
        #expect(
            cluster.refusal("web", nodePort(Objects.servicePort(80, nodePort: 8080)))
                == "Service \"web\" is invalid: spec.ports[0].nodePort: Invalid value: 8080: "
                + "provided port is not in the valid range. The range of valid ports is 30000-32767")
        #expect(cluster.allocations.addressCount == 1)
        #expect(cluster.allocations.portCount == 1)
    }

    @Test func onePortOnTwoProtocolsSharesANumberAtFirst() throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        let both = [Objects.servicePort(53, "t"), Objects.servicePort(53, "u", .udp), Objects.servicePort(80, "w")]
        let free = numbers(
            try cluster.apply(
                "a",
                {
                    nodePort()(&$0); $0.ports = both
                }))
        #expect(free[0] == free[1])
        #expect(free[0] != free[2])
        // The wish of either is the wish of both.
        let wished = numbers(
            try cluster.apply("b", nodePort(Objects.servicePort(53, "t"), Objects.servicePort(53, "u", .udp, nodePort: 30053))))
        #expect(wished == [30053, 30053])
        let apart = numbers(
            try cluster.apply(
                "c", nodePort(Objects.servicePort(53, "t", nodePort: 30001), Objects.servicePort(53, "u", .udp, nodePort: 30002))))
        #expect(apart == [30001, 30002])
    }

    @Test func portsAddedLaterGetNumbersOfTheirOwn() throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        let first = numbers(try cluster.apply("a", nodePort(Objects.servicePort(53, "t"))))
        let second = numbers(try cluster.apply("a") { $0.ports.append(Objects.servicePort(53, "u", .udp)) })
        #expect(second[0] == first[0])
        #expect(second[1] != nil && second[1] != first[0])
    }

    @Test func differentPortsMayNotHaveOneNumberAtFirst() throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        let ports = nodePort(
            Objects.servicePort(80, "p", nodePort: 30080), Objects.servicePort(443, "q", .udp, nodePort: 30080))
        #expect(
            cluster.refusal("a", ports)
                == "Service \"a\" is invalid: spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated")
        #expect(cluster.allocations.portCount == 0)
        try cluster.apply("a", nodePort(Objects.servicePort(80, "p", nodePort: 30080)))
        #expect(numbers(try cluster.apply("a", ports)) == [30080, 30080], "an update may")
        #expect(
            cluster.refusal("a") { $0.ports[1].transport = .tcp } == "Internal error occurred: duplicate nodePort: {TCP 30080}")
    }

    @Test func numbersAskedForComeBeforeAnyOther() throws {
        for seed in UInt64(0)..<50 {
            var cluster = AllocationCluster("10.96.0.0/12", ports: 30000...30002, seed: seed)
            let service = try cluster.apply("a") {
                $0.type = .loadBalancer
                $0.externalTrafficPolicy = .local
                $0.healthCheckNodePort = Objects.portNumber(30001)
                $0.ports = [Objects.servicePort(1, "a"), Objects.servicePort(2, "b", nodePort: 30000)]
            }
            #expect(numbers(service) == [30002, 30000])
        }
    }

    @Test func aHealthCheckPortIsOneOfTheSamePool() throws {
        var cluster = AllocationCluster("10.96.0.0/12", ports: 30000...30001)
        func local(_ port: Int?) -> (inout Service) -> Void {
            {
                $0.type = .loadBalancer
                $0.externalTrafficPolicy = .local
                $0.allocateLoadBalancerNodePorts = false
                $0.healthCheckNodePort = port.map(Objects.portNumber)
            }
        }
        let first = try cluster.apply("a", local(nil))
        let number = try #require(first.healthCheckNodePort)
        #expect(numbers(first) == [nil])
        #expect(
            cluster.refusal("b", local(Int(number.rawValue)))
                == "Internal error occurred: failed to allocate requested HealthCheck NodePort \(number): "
                + "provided port is already allocated"
        )
        #expect(
            cluster.refusal("b", local(80))
                == "Internal error occurred: failed to allocate requested HealthCheck NodePort 80: "
                + "provided port is not in the valid range. The range of valid ports is 30000-30001")
        try cluster.apply("b", local(nil))
        #expect(
            cluster.refusal("c", local(nil)) == "Internal error occurred: failed to allocate a HealthCheck NodePort 0: range is full")
        try cluster.apply("a") {
            $0.externalTrafficPolicy = .cluster
            $0.healthCheckNodePort = nil
        }
        #expect(cluster.allocations.portCount == 1)
        #expect(try cluster.apply("c", local(nil)).healthCheckNodePort == number)
    }

    @Test func anotherTypeReleasesWhatItDoesNotUse() throws {
        var cluster = AllocationCluster("10.96.0.0/12")
        try cluster.apply("a", nodePort(Objects.servicePort(80)))
        let toExternal: (inout Service) -> Void = {
            $0.type = .externalName
            $0.clusterIPs = []
            $0.ipFamilies = []
            $0.ipFamilyPolicy = nil
            $0.ports[0].nodePort = nil
        }
        try cluster.apply("a", isAdmitted: false, toExternal)
        #expect(cluster.allocations.addressCount == 1 && cluster.allocations.portCount == 1, "it was not admitted")
        try cluster.apply("a", toExternal)
        #expect(cluster.allocations.addressCount == 0 && cluster.allocations.portCount == 0)
        #expect(try cluster.apply("a") { $0.type = .clusterIP }.clusterIPs.count == 1)
    }

    @Test func whatIsNotAdmittedHoldsNothing() throws {
        var cluster = AllocationCluster("10.96.0.0/12", "fd00:10:96::/112")
        try cluster.apply("a", isAdmitted: false) {
            $0.type = .loadBalancer
            $0.externalTrafficPolicy = .local
            $0.ipFamilyPolicy = .requireDualStack
        }
        #expect(cluster.allocations.addressCount == 0 && cluster.allocations.portCount == 0)
        #expect(cluster.allocations.takeChanges().isEmpty)
        let message = cluster.refusal("a") {
            $0.type = .nodePort
            $0.ports = [Objects.servicePort(80, "p"), Objects.servicePort(81, "q", nodePort: 1)]
        }
        #expect(message?.contains("spec.ports[1].nodePort") == true)
        #expect(cluster.allocations.addressCount == 0 && cluster.allocations.portCount == 0)
    }
}
