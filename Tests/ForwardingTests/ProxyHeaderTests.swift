import Addressing
import Forwarding
import Routing
import Testing

/// The codec of the PROXY protocol's headers, without a worker.
@Suite struct ProxyHeaderTests {
    static let beginnings: [[UInt8]] = [Array("PROXY ".utf8), Array("\r\n\r\n\0\r\nQUIT\n".utf8)]

    @Test(arguments: beginnings)
    func aBeginningIsAHeaderOnceItIsWholeAndNothingElseBeforeThat(_ mark: [UInt8]) {
        #expect(mark.count <= ProxyHeader.beginningMax)
        for length in 0..<mark.count {
            let prefix = Array(mark[..<length])
            #expect(ProxyHeader.beginning(of: prefix.span) == .undecided)
            for byte in UInt8.min...UInt8.max where byte != mark[length] && (length > 0 || !Self.beginnings.contains { $0[0] == byte }) {
                #expect(ProxyHeader.beginning(of: (prefix + [byte]).span) == .other)
            }
        }
        for rest in [[], [0], Array("TCP4 1.2.3.4".utf8)] as [[UInt8]] { #expect(ProxyHeader.beginning(of: (mark + rest).span) == .header) }
    }

    static func addresses(_ source: String, _ sourcePort: UInt16, _ destination: String, _ destinationPort: UInt16) -> ProxyAddresses {
        ProxyAddresses(
            source: IPAddress(source)!, sourcePort: sourcePort, destination: IPAddress(destination)!, destinationPort: destinationPort)
    }

    static func read(_ bytes: [UInt8]) -> ProxyHeader.Reading { ProxyHeader.read(bytes.span) }
    static func read(_ text: String) -> ProxyHeader.Reading { read(Array(text.utf8)) }

    static func write(_ version: ProxyProtocolVersion, _ addresses: ProxyAddresses) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: ProxyHeader.writtenMax)
        let length = ProxyHeader.write(version, addresses, to: &bytes)
        return Array(bytes[..<length])
    }

    static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    /// A version 2 header with a block of any content.
    static func binary(_ command: UInt8, _ family: UInt8, _ block: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? block.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xff)] + block
    }

    /// One with addresses and extensions behind them.
    static func extended(_ extensions: [UInt8], zeros: Int = 0) -> [UInt8] {
        binary(0x21, 0x11, block4 + extensions + [UInt8](repeating: 0, count: zeros))
    }

    static let block4: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0xde, 0xad, 1, 0xbb]
    static let addresses4 = addresses("192.0.2.1", 0xdead, "198.51.100.7", 443)
    static let block6: [UInt8] = [
        0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0xff, 0xff,
    ]
    static let addresses6 = addresses("2001:db8::1", 1, "fd00::2", 65_535)

    // MARK: Writing

    static let written: [(ProxyAddresses, String)] = [
        (addresses4, "PROXY TCP4 192.0.2.1 198.51.100.7 57005 443\r\n"),
        (addresses6, "PROXY TCP6 2001:db8::1 fd00::2 1 65535\r\n"),
        (addresses("255.255.255.255", 65_535, "0.0.0.0", 0), "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"),
        (addresses("10.0.0.1", 5, "::1", 6), "PROXY TCP6 ::ffff:10.0.0.1 ::1 5 6\r\n"),
    ]

    @Test(arguments: written)
    func aLineIsWrittenAsTheSpecificationHasIt(_ addresses: ProxyAddresses, _ line: String) {
        #expect(Self.write(.v1, addresses) == Array(line.utf8))
    }

    @Test func theBinaryHeaderIsWrittenAsTheSpecificationHasIt() {
        #expect(Self.write(.v2, Self.addresses4) == Self.binary(0x21, 0x11, Self.block4))
        #expect(Self.write(.v2, Self.addresses6) == Self.binary(0x21, 0x21, Self.block6))
    }

    @Test func theLongestLineFits() {
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        let line = Self.write(.v1, Self.addresses(all, 65_535, all, 65_535))
        #expect(line.count == 104 && line.count <= ProxyHeader.lineMax)
        #expect(Self.read(line) == .header(Self.addresses(all, 65_535, all, 65_535), length: 104))
    }

    static let addressTexts = [
        "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:0:0:2::3", "1:0:0:2:0:0:0:3", "1:0:2:3:4:5:6:7", "0:0:1::", "::ffff:1.2.3.4", "fe80::a:b",
        "2001:db8:0:1:1:1:1:1", "a:b:c:d:e:f:0:0", "0:1::",
    ]

    @Test(arguments: addressTexts)
    func addressesAreWrittenInTheirCanonicalForm(_ text: String) {
        let addresses = Self.addresses(text, 1, text, 2)
        let canonical = IPAddress(text)!.description
        let line = Self.write(.v1, addresses)
        #expect(String(decoding: line, as: UTF8.self) == "PROXY TCP6 \(canonical) \(canonical) 1 2\r\n")
        #expect(Self.read("PROXY TCP6 \(text) \(text) 1 2\r\n") == .header(addresses, length: 18 + 2 * text.utf8.count))
    }

    // MARK: Reading

    /// Right headers, each with what it says; what follows is not a part of it.
    static let good: [([UInt8], ProxyAddresses?)] = [
        (Array("PROXY TCP4 192.0.2.1 198.51.100.7 57005 443\r\n".utf8), addresses4),
        (Array("PROXY TCP6 2001:DB8::1 fd00:0:0::2 1 65535\r\n".utf8), addresses6),
        (Array("PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n".utf8), addresses("1.2.3.4", 0, "5.6.7.8", 0)),
        (Array("PROXY TCP6 ::ffff:1.2.3.4 1:2:3:4:5:6:7.8.9.10 1 2\r\n".utf8), addresses("::ffff:1.2.3.4", 1, "1:2:3:4:5:6:708:90a", 2)),
        (Array("PROXY UNKNOWN\r\n".utf8), nil),
        (Array("PROXY UNKNOWN ffff::1 what ever\r\n".utf8), nil),
        (binary(0x21, 0x11, block4), addresses4),
        (binary(0x21, 0x21, block6), addresses6),
        // With a no-op, an empty extension and an id.
        (extended([4, 0, 2, 0, 0, 0xea, 0, 0, 5, 0, 3, 1, 2, 3]), addresses4), (extended([4, 3, 0xe1], zeros: 0x3e1), addresses4),
        // LOCAL, with nothing and with what doesn't count.
        (binary(0x20, 0x00, []), nil),
        (binary(0x20, 0xff, [1, 2, 3]), nil),
        // Unspecified, of no address family, UDP and Unix sockets.
        (binary(0x21, 0x00, []), nil),
        (binary(0x21, 0x00, [9, 9, 9]), nil),
        (binary(0x21, 0x12, block4), nil),
        (binary(0x21, 0x31, Array(repeating: 1, count: 216)), nil),
    ]

    @Test(arguments: good.indices)
    func aHeaderIsReadWhateverFollowsIt(_ index: Int) {
        let (bytes, addresses) = Self.good[index]
        let expected = ProxyHeader.Reading.header(addresses, length: bytes.count)
        #expect(Self.read(bytes) == expected)
        #expect(Self.read(bytes + Array("GET / HTTP/1.1\r\n".utf8)) == expected)
        #expect(Self.read(bytes + bytes) == expected)
    }

    @Test(arguments: good.indices)
    func everyTruncationIsIncomplete(_ index: Int) {
        let bytes = Self.good[index].0
        for length in 0..<bytes.count { #expect(Self.read(Array(bytes[..<length])) == .incomplete, "\(length) of \(bytes.count)") }
    }

    static let badLines: [(String, ProxyHeader.Fault)] =
        [
            ("GET / HTTP/1.1\r\n", .notAHeader), ("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", .notAHeader), ("PROXYTCP4", .notAHeader),
            (" PROXY", .notAHeader), ("\0", .notAHeader), ("\r\n\r\n\0\r\nQUIX", .notAHeader),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", .badLineEnd), ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX", .badLineEnd),
            ("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", .unknownProtocol), ("PROXY \r\n", .unknownProtocol),
            ("PROXY UNKNOWNX\r\n", .unknownProtocol), ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", .unknownProtocol),
            ("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", .unknownProtocol),
            ("PROXY TCP4\r\n", .badFieldCount), ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", .badFieldCount),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", .badFieldCount), ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", .badFieldCount),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", .badFieldCount), ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", .badFieldCount),
            ("PROXY TCP4  5.6.7.8 1 2\r\n", .badAddress), ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", .badAddress),
            ("PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n", .badAddress), ("PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", .badAddress),
            ("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", .badAddress), ("PROXY TCP4 1.2.3.4 5.6.7.00 1 2\r\n", .badAddress),
            ("PROXY TCP4 1.2..4 5.6.7.8 1 2\r\n", .badAddress), ("PROXY TCP4 ::1 ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", .badAddress), ("PROXY TCP6 ::1%eth0 ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 [::1] ::2 1 2\r\n", .badAddress), ("PROXY TCP6 1::2::3 ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 1:2:3:4:5:6:7 ::2 1 2\r\n", .badAddress), ("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 1:2:3:4:5:6:7:8:: ::2 1 2\r\n", .badAddress), ("PROXY TCP6 1:2:3:4::5:6:7:8 ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 12345:: ::2 1 2\r\n", .badAddress), ("PROXY TCP6 1: ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 :1:: ::2 1 2\r\n", .badAddress), ("PROXY TCP6 ::: ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 : ::2 1 2\r\n", .badAddress), ("PROXY TCP6 g:: ::2 1 2\r\n", .badAddress),
            ("PROXY TCP6 1:2:3:4:5:6:7:1.2.3.4 ::2 1 2\r\n", .badAddress), ("PROXY TCP6 ::1.2.3.4:5 ::2 1 2\r\n", .badAddress),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", .badPort), ("PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n", .badPort),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 100000\r\n", .badPort), ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", .badPort),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", .badPort), ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", .badPort),
            ("PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n", .badPort), ("PROXY TCP4 1.2.3.4 5.6.7.8 1 0x2\r\n", .badPort),
            ("PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n", .tooLong),
            ("PROXY " + String(repeating: "x", count: 200), .tooLong),
        ]

    static let badBinaries: [([UInt8], ProxyHeader.Fault)] =
        [
            (binary(0x11, 0x11, block4), .unknownVersion), (binary(0x31, 0x11, block4), .unknownVersion),
            (binary(0x22, 0x11, block4), .unknownCommand), (binary(0x2f, 0x11, block4), .unknownCommand),
            (binary(0x21, 0x41, block4), .unknownFamily), (binary(0x21, 0x13, block4), .unknownFamily),
            (binary(0x21, 0x11, block4, length: 11), .addressesCutShort), (binary(0x21, 0x21, block6, length: 35), .addressesCutShort),
            (binary(0x21, 0x31, [], length: 215), .addressesCutShort), (binary(0x21, 0x11, [], length: 0), .addressesCutShort),
            (extended([4]), .extensionOverrun), (extended([4, 0]), .extensionOverrun), (extended([4, 0, 1]), .extensionOverrun),
            (extended([4, 0xff, 0xff, 1, 2]), .extensionOverrun), (extended([4, 0, 0, 4, 0, 2, 1]), .extensionOverrun),
            (binary(0x21, 0x11, [], length: 1009), .tooLong), (binary(0x20, 0x00, [], length: 65_535), .tooLong),
        ]

    static let bad: [([UInt8], ProxyHeader.Fault)] = badLines.map { (Array($0.0.utf8), $0.1) } + badBinaries

    @Test(arguments: bad.indices)
    func whatIsNoHeaderIsSaidToBeNone(_ index: Int) {
        let (bytes, fault) = Self.bad[index]
        #expect(Self.read(bytes) == .malformed(fault), "\(String(decoding: bytes, as: UTF8.self))")
        // However it is cut, it is never taken for a header; once it is bad, more bytes don't make it good.
        var wasBad = false
        for length in 0...bytes.count {
            switch Self.read(Array(bytes[..<length])) {
            case .incomplete: #expect(!wasBad)
            case .malformed: wasBad = true
            case .header: Issue.record("\(length) bytes are a header")
            }
        }
    }

    @Test func everyLengthIsIncompleteOnlyWithinTheBound() {
        for length in 0...1100 {
            let header = Self.binary(0x20, 0, Array(repeating: 7, count: length))
            let expected: ProxyHeader.Reading =
                header.count <= ProxyHeader.lengthMax ? .header(nil, length: header.count) : .malformed(.tooLong)
            #expect(Self.read(header) == expected)
        }
    }

    /// Right and wrong headers with bytes changed, cut out and put in, from one seed, 120,000 in all: each is read as something, whole
    /// and in pieces as the same, and what is read as a header is written and read back as the same.
    @Test(arguments: 0..<UInt64(8))
    func mutatedHeadersNeverTrap(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        for _ in 0..<15_000 {
            let right = random.below(4) > 0
            var bytes = right ? Self.good[random.below(Self.good.count)].0 : Self.bad[random.below(Self.bad.count)].0
            bytes += [0x47, 0x45]
            for _ in 0...random.below(4) {
                guard !bytes.isEmpty else { break }
                let place = random.below(bytes.count)
                switch random.below(5) {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes[place] ^= 1 << UInt8(random.below(8))
                case 2: bytes.remove(at: place)
                case 3: bytes.insert(bytes[random.below(bytes.count)], at: place)
                default: bytes.removeLast(bytes.count - place)
                }
            }
            let reading = Self.read(bytes)
            // What is said of a part holds for the whole, or more bytes are awaited.
            switch Self.read(Array(bytes[..<random.below(bytes.count + 1)])) {
            case .incomplete: break
            case .malformed:
                guard case .malformed = reading else {
                    Issue.record("more bytes make a bad header good: \(bytes)")
                    break
                }
            case let part: #expect(part == reading, "\(bytes)")
            }
            guard case .header(let addresses, let length) = reading else { continue }
            #expect(length <= bytes.count && length <= ProxyHeader.lengthMax)
            guard let addresses else { continue }
            for version in ProxyProtocolVersion.allCases {
                let written = Self.write(version, addresses)
                #expect(Self.read(written) == .header(addresses, length: written.count))
            }
        }
    }
}
