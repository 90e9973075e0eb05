import Addressing
import ControlPlane
import Routing
import ServiceModel
import Testing

/// Services that come, change, are refused, go and come back at random, with restarts between, against a model that is plain enough to
/// be believed: a table of who has what.
struct AllocationModelTests {
    private struct World {
        static let ports = 30000...30013
        static let addressMax = 14

        var random: RandomSource
        var seed: UInt64
        var cluster: AllocationCluster
        var now: Int64 = 0
        /// The model: what Services have that are there, and what those left that have gone.
        var living: [ServiceKey: Allocation] = [:]
        var gone: [ServiceKey: AllocationRecord] = [:]
        /// What a store has, from the changes it was told.
        var kept: [ServiceKey: AllocationRecord] = [:]
        var (admitted, refused, recalled, restarts) = (0, 0, 0, 0)

        init(seed: UInt64) {
            self.seed = seed
            random = RandomSource(seed: seed)
            cluster = AllocationCluster("10.96.0.0/28", ports: Self.ports, seed: seed)
        }

        mutating func draw(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

        mutating func step() throws {
            let name = "s\(draw(14))"
            switch draw(20) {
            case 0...11: try apply(name)
            case 12...15: delete(name)
            case 16...18:
                now += Int64(draw(400))
                expire()
            default: restart()
            }
            check()
        }

        mutating func apply(_ name: String) throws {
            let key = AllocationCluster.key(name)
            let old = cluster.services[key]
            let before = (living, cluster.allocations.addressCount, cluster.allocations.portCount)
            let (isAdmitted, kind, address, port) = (draw(4) > 0, draw(3), draw(20), draw(18))
            let wishes = (address: draw(4) == 0, port: draw(3) == 0)
            var asked: Set<Item> = []
            do {
                let service = try cluster.apply(name, isAdmitted: isAdmitted) { service in
                    service.type = kind == 0 ? .clusterIP : .nodePort
                    if service.ports.count < 2, kind == 2 { service.ports.append(Objects.servicePort(443, "https")) }
                    if kind == 0 { for index in service.ports.indices { service.ports[index].nodePort = nil } }
                    if old == nil, wishes.address {
                        service.clusterIPs = [IPAddress(ipv4: 0x0a60_0000 + UInt32(address))]
                        asked.insert(.address(service.clusterIPs[0]))
                    }
                    if kind > 0, wishes.port, let number = PortNumber(Self.ports.lowerBound - 2 + port),
                        !service.ports.contains(where: { $0.nodePort == number })
                    {
                        service.ports[0].nodePort = number
                        asked.insert(.port(number))
                    }
                }
                for item in asked { #expect(owner(of: item) == nil || owner(of: item) == key, "\(item) was another's") }
                guard isAdmitted else {
                    expectUnchanged(since: before)
                    return
                }
                admitted += 1
                let now = Allocation(of: service)
                if let had = living[key] { #expect(now.clusterIPs == had.clusterIPs, "an address changed") }
                if let left = gone[key]?.allocation, asked.isEmpty, !left.clusterIPs.isEmpty {
                    #expect(now.clusterIPs == left.clusterIPs, "what it left was not given back")
                    recalled += 1
                }
                gone[key] = nil
                living[key] = now
                for (other, record) in gone {
                    gone[other]?.allocation = Self.without(record.allocation, Self.items(now))
                }
            } catch let error as AllocationError {
                refused += 1
                expectUnchanged(since: before)
                switch error {
                case .invalid:
                    #expect(
                        asked.contains { item in !Self.isInRange(item) || owner(of: item) != nil && owner(of: item) != key },
                        "\(error) for nothing")
                case .internal(let text):
                    #expect(text.contains("range is full"))
                    #expect(Self.addressMax - before.1 < 1 || Self.ports.count - before.2 < 2, "there was room")
                }
            }
        }

        mutating func delete(_ name: String) {
            let key = AllocationCluster.key(name)
            cluster.delete(name, at: now)
            if let allocation = living.removeValue(forKey: key) { gone[key] = AllocationRecord(allocation: allocation, goneSince: now) }
        }

        mutating func expire() {
            let due = gone.filter { now - ($0.value.goneSince ?? now) >= 600 }
            #expect(cluster.allocations.expire(at: now) == !due.isEmpty)
            for key in due.keys { gone[key] = nil }
        }

        /// Another process, which knows only what was kept, and reads the same Services, less some that are gone meanwhile.
        mutating func restart() {
            restarts += 1
            keep()
            gone = gone.filter { !$0.value.allocation.isEmpty }
            let services = cluster.services.sorted { $0.key < $1.key }
            cluster = AllocationCluster("10.96.0.0/28", ports: Self.ports, seed: seed &+ UInt64(restarts))
            cluster.allocations.restore(kept)
            var there: [(ServiceKey, Service)] = []
            for (key, service) in services {
                if draw(8) > 0 {
                    there.append((key, service))
                } else if let allocation = living.removeValue(forKey: key) {
                    gone[key] = AllocationRecord(allocation: allocation, goneSince: now)
                }
            }
            cluster.allocations.expect(there.map(\.0))
            cluster.allocations.retain(only: Set(there.map(\.0)), at: now)
            for (key, service) in there {
                // As it is written: without what it was given.
                let written = (service.type, service.ports.map { Objects.servicePort(Int($0.port.rawValue), $0.name) })
                do {
                    try cluster.apply(key.name) { ($0.type, $0.ports) = written }
                } catch {
                    Issue.record("\(key) was not taken again: \(error)")
                }
            }
        }

        mutating func keep() {
            for (key, record) in cluster.allocations.takeChanges() { kept[key] = record }
        }

        mutating func check() {
            keep()
            var owners: [Item: ServiceKey] = [:]
            for (key, allocation) in living {
                #expect(cluster.allocations.allocation(of: key) == allocation)
                for item in Self.items(allocation) { #expect(owners.updateValue(key, forKey: item) == nil, "\(item) twice") }
            }
            let left = gone.filter { !$0.value.allocation.isEmpty }
            let all = Set(owners.keys).union(left.values.flatMap { Self.items($0.allocation) })
            #expect(cluster.allocations.addressCount + cluster.allocations.portCount == all.count)
            #expect(kept == living.mapValues { AllocationRecord(allocation: $0) }.merging(left) { $1 })
        }

        private func expectUnchanged(since before: ([ServiceKey: Allocation], Int, Int)) {
            #expect(cluster.allocations.addressCount == before.1 && cluster.allocations.portCount == before.2)
        }

        // MARK: Items

        enum Item: Hashable {
            case address(IPAddress)
            case port(PortNumber)
        }

        func owner(of item: Item) -> ServiceKey? { living.first { Self.items($0.value).contains(item) }?.key }

        static func items(_ allocation: Allocation) -> Set<Item> {
            Set(allocation.clusterIPs.map(Item.address) + allocation.nodePorts.values.map(Item.port))
        }

        static func without(_ allocation: Allocation, _ taken: Set<Item>) -> Allocation {
            var rest = allocation
            rest.clusterIPs.removeAll { taken.contains(.address($0)) }
            rest.nodePorts = rest.nodePorts.filter { !taken.contains(.port($0.value)) }
            return rest
        }

        static func isInRange(_ item: Item) -> Bool {
            switch item {
            case .address(let address): address.low > 0x0a60_0000 && address.low < 0x0a60_000f
            case .port(let port): ports.contains(Int(port.rawValue))
            }
        }
    }

    @Test func randomLivesOfServicesGoAsTheModelSays() throws {
        var (admitted, refused, recalled, restarts) = (0, 0, 0, 0)
        for seed in UInt64(0)..<100 {
            var world = World(seed: seed)
            for _ in 0..<200 { try world.step() }
            admitted += world.admitted
            refused += world.refused
            recalled += world.recalled
            restarts += world.restarts
        }
        #expect(admitted > 5000 && refused > 1000 && recalled > 300 && restarts > 500, "\(admitted) \(refused) \(recalled) \(restarts)")
    }
}
