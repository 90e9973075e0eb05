import Testing

@testable import Forwarding

/// Legs that wait for buffers.
struct StarvedLegsTests {
    /// Found by the simulator: with no buffer for seconds, flows that came and went pushed out those that waited, for good.
    @Test func aLegWaitsHoweverManyFlowsComeAndGoInOtherSlots() {
        var legs = StarvedLegs(flowsMax: 2)
        legs.append(LegName(0, .client))
        for _ in 0..<100 { legs.append(LegName(1, .server)) }
        let taken = [legs.take(), legs.take(), legs.take()]
        #expect(taken.map { $0?.slot } == [0, 1, nil])
        #expect(taken.map { $0?.leg } == [.client, .server, nil])
    }

    @Test func whatWasTakenMayWaitAgainAndBehindTheOthers() {
        var legs = StarvedLegs(flowsMax: 2)
        for slot in UInt32(0)...1 { legs.append(LegName(slot, .client)) }
        let first = legs.take()
        legs.append(LegName(0, .client))
        let (second, third, isEmpty) = (legs.take(), legs.take(), legs.isEmpty)
        #expect([first, second, third].map { $0?.slot } == [0, 1, 0] && isEmpty)
    }
}
