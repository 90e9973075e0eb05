import Addressing
import Testing

@testable import HostNetwork

/// Routes: as the kernel tells of them, and what they mean for a range of virtual addresses.
@Suite struct HostRoutesTests {
    private static func route(
        _ destination: String, _ kind: HostRoute.Kind = .unicast, table: UInt32 = 254, maker: UInt8 = 2, _ interface: String = "eth0"
    ) -> HostRoute { HostRoute(IPRange(destination)!, kind, table: table, maker: maker, interface: interface) }

    private static let ours = route("10.96.0.0/12", .local, table: 255, maker: HostRoute.ringway, "lo")
    private static let loopback = route("127.0.0.0/8", .local, table: 255, "lo")
    private static let address = route("10.99.0.1/32", .local, table: 255)

    private static let cases: [(String, [HostRoute], RangeVerdict)] = [
        ("10.96.0.0/12", [], .free),
        ("10.96.0.0/12", [route("0.0.0.0/0"), route("192.168.0.0/24"), loopback], .free),
        ("10.96.0.0/12", [route("10.96.0.0/12", .broadcast, table: 255)], .free),
        ("10.96.0.0/12", [ours], .ours),
        ("10.97.0.0/16", [ours], .local),
        ("127.5.0.0/16", [loopback], .local),
        ("10.96.0.0/12", [route("10.0.0.0/8")], .conflict(.route(route("10.0.0.0/8")))),
        ("10.96.0.0/12", [route("10.100.0.0/24")], .conflict(.route(route("10.100.0.0/24")))),
        ("10.96.0.0/12", [route("10.96.0.0/12", .blackhole)], .conflict(.route(route("10.96.0.0/12", .blackhole)))),
        ("10.96.0.0/12", [address], .conflict(.address(IPAddress("10.99.0.1")!, interface: "eth0"))),
        // The same table, but another one has made it.
        (
            "10.96.0.0/12", [route("10.100.0.0/16", .local, table: 255, maker: 3)],
            .conflict(.route(route("10.100.0.0/16", .local, table: 255, maker: 3)))
        ),
        ("fd00:10:96::/112", [ours, route("::/0"), route("fe80::/64")], .free),
        ("fd00:10:96::/112", [route("fd00::/8")], .conflict(.route(route("fd00::/8")))),
    ]

    @Test(arguments: cases)
    func aRangeIsFreeUnlessTheHostHasAnotherUseForIt(_ range: String, _ routes: [HostRoute], _ verdict: RangeVerdict) {
        #expect(RangeVerdict(IPRange(range)!, routes: routes) == verdict)
    }

    @Test func aConflictIsNamedWithItsRemedy() {
        let failure = HostNetworkFailure.conflict(IPRange("10.96.0.0/12")!, .route(Self.route("10.0.0.0/8")))
        #expect("\(failure)" == "10.96.0.0/12 overlaps the route 10.0.0.0/8 dev eth0: choose another --service-cidr, or remove that")
    }

    @Test(arguments: ["10.96.0.0/12", "fd00:10:96::/112", "192.0.2.7/32"])
    func whatIsAskedForReadsBackAsOurs(_ text: String) throws {
        let range = IPRange(text)!
        let asked = HostRoute.change(range, isAdded: true, loopback: 1)
        let answer = try #require(NetlinkMessage.all(in: asked.bytes).first)
        #expect(answer == asked)
        let route = try #require(HostRoute(answer, interfaces: [1: "lo"]))
        #expect(route.isOurs && route.destination == range && route.interface == "lo")
        #expect(HostRoute.change(range, isAdded: false, loopback: 1).kind == NetlinkMessage.Kind.deleteRoute)
    }

    /// A route as the kernel of a host wrote it: `local 10.0.2.15 dev eth0 table local proto kernel scope host src 10.0.2.15`.
    @Test func aMessageOfTheKernelIsRead() throws {
        let hex =
            "3c00000018000200010000000000000002200000ff02fe0200000000"
            + "08000f00ff000000" + "080001000a00020f" + "080007000a00020f" + "0800040002000000"
        let bytes = stride(from: 0, to: hex.utf8.count, by: 2).map { offset -> UInt8 in
            let start = hex.index(hex.startIndex, offsetBy: offset)
            return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)!
        }
        let messages = NetlinkMessage.all(in: bytes)
        #expect(messages.count == 1 && messages.first?.sequence == 1)
        let route = try #require(messages.first.flatMap { HostRoute($0, interfaces: [2: "eth0"]) })
        #expect(route == Self.route("10.0.2.15/32", .local, table: 255))
    }

    @Test func whatIsCutOffOrMalformedIsLeftOut() {
        let bytes = HostRoute.change(IPRange("10.96.0.0/12")!, isAdded: true, loopback: 1).bytes
        for end in 0..<bytes.count { #expect(NetlinkMessage.all(in: Array(bytes[..<end])).isEmpty) }
        // A length of 0 would never end.
        #expect(NetlinkMessage.all(in: [UInt8](repeating: 0, count: 64)).isEmpty)
        var message = NetlinkMessage(kind: NetlinkMessage.Kind.newRoute, flags: [], body: [UInt8](repeating: 0, count: 12))
        message.body += [2, 0, 1, 0]
        #expect(message.attributes(after: 12).isEmpty && HostRoute(message, interfaces: [:]) == nil)
        message.body = [2]
        #expect(HostRoute(message, interfaces: [:]) == nil)
    }

    @Test func theGuardNamesEachFamilysRanges() {
        let both = VIPGuard.ruleset([IPRange("10.96.0.0/12")!, IPRange("192.0.2.0/24")!, IPRange("fd00:10:96::/112")!])
        #expect(both.contains("ip daddr { 10.96.0.0/12, 192.0.2.0/24 } socket wildcard 1 socket mark != 0x72776179"))
        #expect(both.contains("ip6 daddr { fd00:10:96::/112 } socket wildcard 1"))
        #expect(!VIPGuard.ruleset([IPRange("10.96.0.0/12")!]).contains("ip6"))
    }
}
