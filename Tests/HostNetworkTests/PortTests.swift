import Synchronization
import Testing

@testable import HostNetwork

/// Sets of ports, and the kernel's list of those it keeps.
@Suite struct PortTests {
    @Test(arguments: [("", ""), ("80", "80"), ("22,80-81,82", "22,80-82"), (" 5-9,1\n", "1,5-9"), ("1-3,2-8,9", "1-9"), ("65535", "65535")])
    func aListIsReadAndWrittenInOrder(_ text: String, _ canonical: String) throws {
        #expect(try #require(PortSet(text)).description == canonical)
    }

    @Test(arguments: ["x", "9-5", "1-2-3", "70000", "-5", "5-"])
    func whatIsNoListIsNone(_ text: String) { #expect(PortSet(text) == nil) }

    @Test func setsAgreeWithSetsOfSingleNumbers() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var (ports, model) = (PortSet(), Set<UInt16>())
            for _ in 0..<30 {
                let first = UInt16.random(in: 0...60, using: &generator)
                let range = first...first + UInt16.random(in: 0...9, using: &generator)
                let other = [range, first / 2...first / 2 + 3]
                if Bool.random(using: &generator) {
                    ports = ports.union(PortSet(other))
                    model.formUnion(other.joined())
                } else {
                    ports = ports.subtracting(PortSet(other))
                    model.subtract(other.joined())
                }
                #expect(PortSet(model) == ports)
                #expect(Set(ports.ranges.flatMap(Array.init)) == model)
                #expect(zip(ports.ranges, ports.ranges.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound })
            }
        }
    }

    /// The two files, as a host has them.
    private final class Files: Sendable {
        let texts: Mutex<(range: String, reserved: String)>
        let failure: Int32

        init(_ range: String, _ reserved: String, failure: Int32 = 0) {
            texts = Mutex((range, reserved))
            self.failure = failure
        }

        var reserved: String { texts.withLock { $0.reserved } }

        func ports() -> ReservedPorts {
            ReservedPorts(
                read: { [self] path in texts.withLock { path.hasSuffix("port_range") ? $0.range : $0.reserved } },
                write: { [self] _, text in
                    if failure == 0 { texts.withLock { $0.reserved = text } }
                    return failure
                })
        }
    }

    @Test func onlyPortsInUseThatTheKernelWouldGiveAwayAreReservedAndGivenBack() {
        let files = Files("31000\t60999\n", "31500,40000-40010\n")
        let ports = files.ports()
        #expect(ports.hold([30080, 31000, 31500, 32000, 32001]) == nil && files.reserved == "31000,31500,32000-32001,40000-40010\n")
        #expect(ports.hold([]) == nil && files.reserved == "31500,40000-40010\n")
    }

    /// What somebody else puts into the list meanwhile, or takes out of it, is as they want it.
    @Test func theListFollowsTheServicesAndEverythingElseInItStays() {
        let files = Files("1024 65535", "31500\n")
        let ports = files.ports()
        #expect(ports.hold([30080, 30081, 31500]) == nil && files.reserved == "30080-30081,31500\n")
        files.texts.withLock { $0.reserved = "9000,30080-30081\n" }
        #expect(ports.hold([30081, 30082]) == nil && files.reserved == "9000,30081-30082\n")
        #expect(ports.hold([30082]) == nil && files.reserved == "9000,30082\n")
        files.texts.withLock { $0.reserved = "untouched" }
        #expect(ports.hold([30082]) == nil && files.reserved == "untouched")
    }

    /// A range of node ports as large as the kernel's leaves all other ports to connect from.
    @Test func aPortThatIsNotInUseIsFree() throws {
        let files = Files("30000 32767", "\n")
        #expect(files.ports().hold([30000, 32767]) == nil)
        #expect(try #require(PortSet(files.reserved)).ranges.reduce(0) { $0 + $1.count } == 2)
    }

    @Test func byDefaultNothingIsToBeDone() {
        let files = Files("32768\t60999\n", "\n")
        #expect(files.ports().hold([30000, 32767]) == nil && files.reserved == "\n")
    }

    @Test func whoMayNotSaysSoAndTriesAgain() {
        let files = Files("1024 65535", "", failure: 1)
        let ports = files.ports()
        for _ in 0..<2 {
            let failure = ports.hold([30080, 30082])
            #expect(
                failure?.description == "can't reserve node ports (30080,30082): that takes the capability CAP_NET_ADMIN")
        }
        let many = ports.hold(Set((0..<100).map { 30000 + 2 * $0 }))
        #expect(many?.description.contains("node ports (100 of them)") == true)
    }
}
