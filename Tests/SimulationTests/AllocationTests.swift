import AllocationCheck
import CAllocationCounter
import Routing
import Testing

/// Rule 3 of the hot path: nothing is allocated once a worker is warm.
struct AllocationTests {
    @Test(.enabled(if: ringway_allocations_are_counted())) func theCounterCounts() {
        let before = ringway_allocation_count()
        var array: [UInt64] = []
        array.reserveCapacity(Int.random(in: 1000...1001))
        let between = ringway_allocation_count()
        #expect(between > before)
        array.append(1)
        #expect(array.reduce(0, +) == 1)
    }

    /// Unoptimised code is judged by its service only; `AllocationCheck`, built for release, is the gate for the count.
    @Test(arguments: WarmWorker.allSettings)
    func tenThousandConnectionsAllocateNothingOnceWarm(_ settings: EndpointGroup.Settings) {
        let finding = WarmWorker(connections: WarmWorker.isOptimised ? 10_000 : 500, settings).measure()
        #expect(finding.failures == [])
        #expect(finding.allocations == 0 || !WarmWorker.isOptimised)
    }

    @Test func norDoHeadersOfEitherSideAndTheLog() {
        let finding = WarmWorker(connections: WarmWorker.isOptimised ? 1000 : 200, usesProxyProtocol: true).measure()
        #expect(finding.failures == [])
        #expect(finding.allocations == 0 || !WarmWorker.isOptimised)
    }

    @Test(arguments: UDPClass.allCases)
    func norDoTenThousandRoundTripsOfUDP(_ udpClass: UDPClass) {
        let finding = WarmDatagrams(clients: WarmWorker.isOptimised ? 1000 : 50, udpClass).measure()
        #expect(finding.failures == [])
        #expect(finding.allocations == 0 || !WarmWorker.isOptimised)
    }

    @Test(arguments: WarmWorker.allSettings)
    func norDoesAnEndpointThatRefuses(_ settings: EndpointGroup.Settings) {
        let finding = WarmWorker(connections: WarmWorker.isOptimised ? 1000 : 200, settings, refuses: true).measure()
        #expect(finding.failures == [])
        #expect(finding.allocations == 0 || !WarmWorker.isOptimised)
    }

    @Test func norDoQueriesOfAllKinds() {
        let finding = WarmResponder.measure(rounds: WarmWorker.isOptimised ? 1000 : 10)
        #expect(finding.failures == [])
        #expect(finding.allocations == 0 || !WarmWorker.isOptimised)
    }
}
