import Addressing
import ControlPlane
import ServiceModel
import Testing

/// What becomes of the addresses and ports of Services that have gone, by a clock that the tests turn.
struct AllocationTimeTests {
    /// A Service that has one of each.
    private static func full(_ service: inout Service) {
        service.type = .loadBalancer
        service.externalTrafficPolicy = .local
        service.ports = [Objects.servicePort(80, "http"), Objects.servicePort(443, "https")]
    }

    private static func held(_ service: Service) -> Allocation { Allocation(of: service) }

    /// What a store would have after all of that.
    private static func keep(_ cluster: inout AllocationCluster, in kept: inout [ServiceKey: AllocationRecord]) {
        for (key, record) in cluster.allocations.takeChanges() { kept[key] = record }
    }

    @Test func aServiceThatComesBackWithinTenMinutesHasWhatItHad() throws {
        for seed in UInt64(0)..<20 {
            var cluster = AllocationCluster("10.96.0.0/24", "fd00::/112", seed: seed)
            let first = try cluster.apply("a") {
                Self.full(&$0)
                $0.ipFamilyPolicy = .requireDualStack
            }
            cluster.delete("a", at: 1000)
            #expect(cluster.allocations.nextExpiry == 1600)
            #expect(cluster.allocations.expire(at: 1599) == false)
            let again = try cluster.apply("a") {
                Self.full(&$0)
                $0.ipFamilyPolicy = .requireDualStack
            }
            #expect(Self.held(again) == Self.held(first))
            #expect(cluster.allocations.nextExpiry == nil)
            #expect(cluster.allocations.expire(at: 10_000) == false, "it is there again")
            #expect(cluster.allocations.addressCount == 2 && cluster.allocations.portCount == 3)
        }
    }

    @Test func afterTenMinutesNothingIsLeft() throws {
        var cluster = AllocationCluster("10.96.0.0/24")
        try cluster.apply("a", Self.full)
        try cluster.apply("b", Self.full)
        cluster.delete("a", at: 1000)
        cluster.delete("b", at: 1300)
        #expect(cluster.allocations.expire(at: 1600) == true)
        #expect(cluster.allocations.allocation(of: AllocationCluster.key("a")) == nil)
        #expect(cluster.allocations.addressCount == 1 && cluster.allocations.portCount == 3)
        #expect(cluster.allocations.nextExpiry == 1900)
        var kept: [ServiceKey: AllocationRecord] = [:]
        Self.keep(&cluster, in: &kept)
        #expect(kept.keys.map(\.name) == ["b"])
        #expect(cluster.allocations.expire(at: 1900) == true)
        #expect(cluster.allocations.addressCount == 0 && cluster.allocations.portCount == 0)
        #expect(cluster.allocations.takeChanges() == [AllocationCluster.key("b"): nil])
    }

    @Test func whatAServiceLeftBehindIsGivenOnlyToWhoAsksForItByNumber() throws {
        var cluster = AllocationCluster("10.96.0.0/30", ports: 30000...30001)
        let address = try cluster.apply("a") { $0.type = .nodePort }.clusterIPs
        cluster.delete("a", at: 0)
        let other = try cluster.apply("b")
        #expect(other.clusterIPs != address)
        #expect(cluster.refusal("c")?.contains("range is full") == true)
        #expect(try cluster.apply("c") { $0.clusterIPs = address }.clusterIPs == address)
        // What it left of the rest still waits for it.
        let left = try #require(cluster.allocations.allocation(of: AllocationCluster.key("a")))
        #expect(left.clusterIPs == [] && left.nodePorts.count == 1)
        #expect(cluster.refusal("a")?.contains("range is full") == true)
        cluster.delete("b", at: 0)
        cluster.allocations.expire(at: 600)
        #expect(try cluster.apply("a").clusterIPs == other.clusterIPs)
    }

    @Test func whatIsNotAdmittedTakesNothingOver() throws {
        var cluster = AllocationCluster("10.96.0.0/24")
        let address = try cluster.apply("a").clusterIPs
        cluster.delete("a", at: 0)
        _ = cluster.allocations.takeChanges()
        try cluster.apply("b", isAdmitted: false) { $0.clusterIPs = address }
        #expect(cluster.allocations.takeChanges().isEmpty)
        #expect(try cluster.apply("a").clusterIPs == address)
    }

    @Test func anotherObjectOfTheSameNameBeginsAnew() throws {
        for (old, new, isSame) in [("1", "1", true), ("1", "2", false), (nil, "2", true), ("1", nil, true)] as [(String?, String?, Bool)] {
            var cluster = AllocationCluster("10.96.0.0/12")
            let first = try cluster.apply("a", uid: old)
            cluster.delete("a", at: 0)
            #expect(try (cluster.apply("a", uid: new).clusterIPs == first.clusterIPs) == isSame)
            #expect(cluster.allocations.addressCount == 1, "the other one has nothing any more")
        }
    }

    @Test func aClockThatIsSetBackNeitherLosesNorKeepsForEver() throws {
        var cluster = AllocationCluster("10.96.0.0/24")
        try cluster.apply("a")
        cluster.delete("a", at: 1_000_000)
        #expect(cluster.allocations.expire(at: 500) == false)
        #expect(cluster.allocations.nextExpiry == 1100)
        #expect(cluster.allocations.expire(at: 1100) == true)
        #expect(cluster.allocations.addressCount == 0)
    }

    @Test func aRestartChangesNothing() throws {
        var kept: [ServiceKey: AllocationRecord] = [:]
        var before = AllocationCluster("10.96.0.0/24", seed: 1)
        let living = try before.apply("living", Self.full)
        let refused = try before.apply("refused", Self.full)
        let removed = try before.apply("removed", Self.full)
        let gone = try before.apply("gone", Self.full)
        let revived = try before.apply("revived", Self.full)
        before.delete("gone", at: 100)
        before.delete("revived", at: 100)
        Self.keep(&before, in: &kept)
        #expect(kept[AllocationCluster.key("gone")]?.goneSince == 100)

        var after = AllocationCluster("10.96.0.0/24", seed: 2)
        after.allocations.restore(kept)
        let names = ["living", "refused", "revived", "new"].map(AllocationCluster.key)
        after.allocations.expect(names)
        after.allocations.retain(only: Set(names), at: 500)
        #expect(after.refusal("new") { $0.clusterIPs = refused.clusterIPs }?.contains("already allocated") == true)
        #expect(after.refusal("new") { $0.clusterIPs = revived.clusterIPs }?.contains("already allocated") == true)
        #expect(try after.apply("new") { $0.clusterIPs = removed.clusterIPs }.clusterIPs == removed.clusterIPs)
        #expect(try Self.held(after.apply("living", Self.full)) == Self.held(living))
        #expect(try Self.held(after.apply("revived", Self.full)) == Self.held(revived))
        // What was gone before the restart goes on from there; what is missing since has gone at the restart.
        #expect(after.allocations.nextExpiry == 700)
        after.allocations.expire(at: 700)
        #expect(after.allocations.allocation(of: AllocationCluster.key("gone")) == nil)
        #expect(after.allocations.nextExpiry == 1100)
        #expect(try Self.held(after.apply("removed", Self.full)).nodePorts == Self.held(removed).nodePorts)
        #expect(try Self.held(after.apply("refused", Self.full)) == Self.held(refused), "it was expected all the time")
        Self.keep(&after, in: &kept)
        #expect(kept.values.allSatisfy { $0.goneSince == nil })
        #expect(Set(kept.keys.map(\.name)) == ["living", "refused", "removed", "revived", "new"])
        #expect(gone.clusterIPs.count == 1)
    }

    @Test func whatTheRangesNoLongerHaveIsNotGivenAgain() throws {
        var kept: [ServiceKey: AllocationRecord] = [:]
        var before = AllocationCluster("10.96.0.0/24")
        let first = try before.apply("a", Self.full)
        Self.keep(&before, in: &kept)
        var after = AllocationCluster("10.97.0.0/24", ports: 20000...20010)
        after.allocations.restore(kept)
        let second = try after.apply("a", Self.full)
        #expect(Objects.range("10.97.0.0/24").contains(second.clusterIPs[0]) && second.clusterIPs != first.clusterIPs)
        #expect(second.ports.allSatisfy { $0.nodePort.map((Objects.portNumber(20000)...Objects.portNumber(20010)).contains) == true })
        #expect(after.allocations.addressCount == 1 && after.allocations.portCount == 3)
    }

    @Test func tenThousandServicesLeaveNothingBehindAndHaveNothingTwice() throws {
        let count = 10_000
        var kept: [ServiceKey: AllocationRecord] = [:]
        var cluster = AllocationCluster("10.96.0.0/16", ports: 10000...49999)
        for number in 0..<count { try cluster.apply("s\(number)", Self.full) }
        Self.keep(&cluster, in: &kept)
        func expectNothingTwice(_ services: Int) {
            let allocations = kept.values.map(\.allocation)
            #expect(Set(allocations.flatMap(\.clusterIPs)).count == services)
            let ports = allocations.flatMap { Array($0.nodePorts.values) + [$0.healthCheckNodePort].compactMap(\.self) }
            #expect(Set(ports).count == 3 * services && ports.count == 3 * services)
            #expect(cluster.allocations.addressCount == services && cluster.allocations.portCount == 3 * services)
        }
        expectNothingTwice(count)
        let first = kept

        cluster = AllocationCluster("10.96.0.0/16", ports: 10000...49999, seed: 2)
        cluster.allocations.restore(kept)
        cluster.allocations.expect(kept.keys)
        for number in 0..<count { try cluster.apply("s\(number)", Self.full) }
        #expect(cluster.allocations.takeChanges().isEmpty, "a restart has nothing to write")
        for number in 0..<count / 2 { cluster.delete("s\(number)", at: 0) }
        #expect(cluster.allocations.expire(at: 600) == true)
        Self.keep(&cluster, in: &kept)
        expectNothingTwice(count / 2)
        #expect(kept.allSatisfy { first[$0.key] == $0.value })
        for number in 0..<count { cluster.delete("s\(number)", at: 1000) }
        cluster.allocations.expire(at: 1600)
        Self.keep(&cluster, in: &kept)
        #expect(kept.isEmpty)
        expectNothingTwice(0)
    }
}
