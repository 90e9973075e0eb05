import Addressing
import Engine
import Glibc
import Testing

/// Listeners that take only some clients' connections. The client is always 127.0.0.1, or ::1.
struct ArrivalTests {
    private static func ranges(_ lists: [[String]]) -> [[IPRange]] { lists.map { $0.map { IPRange($0)! } } }

    private static let many = (0..<60).map { "10.\($0).0.0/16" }

    static let admitting: [(IPAddress.Family, [[String]])] = [
        (.ipv4, []), (.ipv4, [["127.0.0.1/32"]]), (.ipv4, [["0.0.0.0/0"]]), (.ipv4, [["127.0.0.0/31"]]), (.ipv4, [["127.0.0.0/8"]]),
        (.ipv4, [many + ["127.0.0.1/32"]]), (.ipv4, [["::/0", "127.0.0.0/24"] + many, ["0.0.0.0/1"]]),
        (.ipv6, [["::1/128"]]), (.ipv6, [["::/0"]]), (.ipv6, [["::/127"]]), (.ipv6, [["::/65"]]), (.ipv6, [["::/33"]]),
        (.ipv6, [["fd00::/8", "2001:db8::/32", "::1/128"], ["0.0.0.0/0", "::/96"]]),
    ]

    static let excluding: [(IPAddress.Family, [[String]])] = [
        (.ipv4, [[]]), (.ipv4, [["127.0.0.2/32"]]), (.ipv4, [["127.0.0.2/31"]]), (.ipv4, [["128.0.0.0/1"]]), (.ipv4, [many]),
        (.ipv4, [["127.0.0.0/8"], []]), (.ipv4, [[], ["127.0.0.0/8"]]), (.ipv4, [many + ["127.0.0.0/8"], many]), (.ipv4, [["::/0"]]),
        (.ipv6, [[]]), (.ipv6, [["::2/128"]]), (.ipv6, [["::2/127"]]), (.ipv6, [["fd00::/8"]]), (.ipv6, [["0:0:0:1::/64"]]),
        (.ipv6, [["0:0:1::/48", "0:1::/32"]]), (.ipv6, [["::1:0:0/96", "8000::/1"]]), (.ipv6, [["0.0.0.0/0", "127.0.0.1/32"]]),
    ]

    /// One after the other would take a moment of silence each.
    @Test(arguments: EngineKind.allCases)
    func clientsInEachListAreTakenAndOthersHearNothing(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        func connect(_ cases: [(IPAddress.Family, [[String]])]) throws -> [(peer: any FarPeer, lists: [[String]])] {
            try cases.map { family, lists in
                (try engine.connectFar(to: engine.listen(family, arrivals: Self.ranges(lists)).address), lists)
            }
        }
        let silent = try connect(Self.excluding)
        for (peer, lists) in try connect(Self.admitting) {
            #expect(engine.wait { peer.connectResult() != nil } && peer.connectResult() == 0, "\(lists)")
        }
        #expect(!engine.completesSoon(.wakeUp))
        for (peer, lists) in silent { #expect(peer.connectResult() == nil, "\(lists)") }
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func aChangeHoldsForTheNextSYNAndTouchesNoConnection(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let listener = try engine.listen(arrivals: Self.ranges([["127.0.0.1/32"]]))
        let peer = try engine.connectFar(to: listener.address)
        let queued = try engine.connectFar(to: listener.address)
        #expect(engine.wait { peer.connectResult() == 0 && queued.connectResult() == 0 })
        let opened = engine.driver.acceptQueued(listener.socket)
        try #require(opened.error == 0)
        #expect(engine.driver.setArrivals(ArrivalFilter([[]], of: .ipv4), of: listener.socket))
        let late = try engine.connectFar(to: listener.address)
        #expect(!engine.completesSoon(.wakeUp) && late.connectResult() == nil)
        // What is queued is still there, and what was accepted goes on.
        #expect(engine.driver.acceptQueued(listener.socket).error == 0)
        #expect(peer.send([1, 2, 3]) == 3)
        peer.shutdownWrite()
        #expect(try engine.receiveAll(opened.socket).bytes == [1, 2, 3])
        #expect(engine.driver.setArrivals(ArrivalFilter([], of: .ipv4), of: listener.socket))
        let next = try engine.connectFar(to: listener.address)
        #expect(engine.wait { next.connectResult() == 0 })
        // Twice is the same as once.
        #expect(engine.driver.setArrivals(ArrivalFilter([], of: .ipv4), of: listener.socket))
        engine.expectNoBreach()
    }

    @Test(arguments: [EngineKind.ioUring, .epoll])
    func moreRangesThanAFilterHoldsLetEverybodyIn(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let ranges = (0..<1100).map { IPRange(IPAddress(ipv4: 0x0a00_0000 + UInt32($0))) }
        let listener = try engine.listen(arrivals: [[]])
        #expect(engine.driver.setArrivals(ArrivalFilter([Array(ranges.prefix(900))], of: .ipv4), of: listener.socket))
        let outside = try engine.connectFar(to: listener.address)
        #expect(!engine.completesSoon(.wakeUp) && outside.connectResult() == nil)
        #expect(!engine.driver.setArrivals(ArrivalFilter([ranges], of: .ipv4), of: listener.socket))
        let next = try engine.connectFar(to: listener.address)
        #expect(engine.wait { next.connectResult() == 0 })
    }
}
