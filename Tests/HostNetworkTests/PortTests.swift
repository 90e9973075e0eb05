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
                if Bool.random(using: &generator) {
                    ports.insert(range)
                    model.formUnion(range)
                } else {
                    ports.remove(range)
                    model.subtract(range)
                }
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

    @Test func onlyWhatTheKernelWouldGiveAwayIsReservedAndGivenBack() {
        let files = Files("31000\t60999\n", "31500,40000-40010\n")
        let ports = files.ports()
        #expect(ports.reserve(30000...32767) == nil && files.reserved == "31000-32767,40000-40010\n")
        #expect(ports.release() == nil && files.reserved == "31500,40000-40010\n")
        #expect(ports.release() == nil && files.reserved == "31500,40000-40010\n")
    }

    @Test func byDefaultNothingIsToBeDone() {
        let files = Files("32768\t60999\n", "\n")
        #expect(files.ports().reserve(30000...32767) == nil && files.reserved == "\n")
    }

    @Test func whoMayNotSaysSo() {
        let failure = Files("1024 65535", "", failure: 1).ports().reserve(30000...32767)
        #expect(failure?.description == "can't reserve ports 30000-32767 for node ports: that takes the capability CAP_NET_ADMIN")
    }
}
