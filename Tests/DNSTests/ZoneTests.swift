import Addressing
import Routing
import Testing

@testable import DNS

/// A zone that has followed changes is the one that would be made from nothing.
struct ZoneTests {
    private static func address(_ number: Int) -> IPAddress {
        number % 3 == 0 ? IPAddress(ipv6High: 0xfd00 << 48, low: UInt64(number)) : IPAddress(ipv4: 0x0a00_0000 + UInt32(number))
    }

    private static func service(_ name: String, _ random: inout RandomSource) -> ServiceNames {
        let ports = (0..<random.below(4)).map { index in
            ServiceNames.Port(
                name: index == 3 ? "" : "port-\(random.below(3))", transport: random.below(2) == 0 ? .tcp : .udp,
                number: PortNumber(80 + random.below(3))!)
        }
        let sets = (0..<random.below(3)).map { _ in
            ServiceNames.EndpointSet(
                ports: ports,
                endpoints: (0..<random.below(6)).map { _ in
                    ServiceNames.Endpoint(
                        hostname: random.below(2) == 0 ? "host-\(random.below(3))" : nil, address: address(random.below(12)))
                })
        }
        let kind: ServiceNames.Kind =
            switch random.below(4) {
            case 0: .externalName("name-\(random.below(5)).example.com")
            case 1: .headless
            default: .cluster(addresses: [address(100 + random.below(40))], ports: ports)
            }
        return ServiceNames(service: ServiceName(namespace: "space-\(random.below(3))", name: name), kind: kind, endpointSets: sets)
    }

    private static func namespace(_ name: String, _ random: inout RandomSource) -> NamespaceNames {
        NamespaceNames(name: name, podAddresses: Set((0..<random.below(8)).map { _ in address(random.below(20)) }).sorted())
    }

    @Test(arguments: 0..<30) func changesLeaveNoTrace(seed: Int) {
        var random = RandomSource(seed: UInt64(seed))
        var maker = ZoneMaker()
        var services = PersistentDictionary<ServiceName, ServiceNames>()
        var namespaces: [String: NamespaceNames] = [:]
        for generation in 1...40 {
            var touched = NameTable.Touched()
            for _ in 0...random.below(5) {
                let new = Self.service("name-\(random.below(12))", &random)
                services[new.service] = random.below(3) == 0 ? nil : new
                touched.services.insert(new.service)
                let space = "space-\(random.below(4))"
                namespaces[space] = random.below(3) == 0 ? nil : Self.namespace(space, &random)
                touched.namespaces.insert(space)
            }
            let before = maker.zone
            // Now and then a snapshot is passed over, or does not say what it touched.
            if random.below(8) == 0 { continue }
            let isTold = random.below(6) > 0
            let table = NameTable(services: services, namespaces: namespaces, touched: isTold ? touched : nil)
            let snapshot = RoutingSnapshot(generation: UInt64(generation), frontends: [:], names: table)
            let zone = maker.update(to: snapshot, serial: UInt32(generation))

            var anew = ZoneMaker()
            let fresh = anew.update(to: snapshot, serial: 1)
            #expect(zone.contents == fresh.contents, "generation \(generation)")
            let changed = (0..<Zone.shardCount).filter { before.shards[$0] != zone.shards[$0] }
            let (was, now) = (before.contents, zone.contents)
            let differing = Set(was.keys).union(now.keys).filter { was[$0] != now[$0] }
            #expect(changed.count <= differing.count)
            for key in now.keys where (1...63).contains(key[0]) { #expect(zone.find(key.span, 0..<key.count) != nil) }
        }
        let end = RoutingSnapshot(generation: 50, frontends: [:], names: NameTable(services: [:], namespaces: [:]))
        #expect(maker.update(to: end, serial: 1).contents == [:])
        #expect(maker.zone.shards.allSatisfy { $0.isEmpty })
    }

    @Test func theSerialIsThatOfTheLastChange() {
        var maker = ZoneMaker()
        #expect(!maker.zone.isSynced)
        let names = NameTable(services: [:], namespaces: ["a": NamespaceNames(name: "a")], touched: .init(namespaces: ["a"]))
        #expect(maker.update(to: RoutingSnapshot(generation: 1, frontends: [:], names: names), serial: 10).serial == 10)
        #expect(maker.zone.isSynced)
        let same = NameTable(services: [:], namespaces: names.namespaces, touched: .init())
        #expect(maker.update(to: RoutingSnapshot(generation: 2, frontends: [:], names: same), serial: 20).serial == 10)
    }

    @Test func labelsThatDNSDoesNotHoldAreLeftOut() {
        let long = String(repeating: "a", count: 64)
        let names = ServiceNames(
            service: ServiceName(namespace: "n", name: "s"), kind: .headless,
            endpointSets: [.init(ports: [], endpoints: [.init(hostname: long, address: Self.address(1)), .init(address: Self.address(2))])])
        #expect(NameRecords(names).entries.count == 2)
        #expect(NameRecords(ServiceNames(service: ServiceName(namespace: "n", name: long), kind: .headless)).entries.isEmpty)
        #expect(NameRecords(NamespaceNames(name: "")).entries.isEmpty)
    }
}
