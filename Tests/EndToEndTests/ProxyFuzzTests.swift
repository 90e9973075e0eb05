import Foundation
import Glibc
import Testing

/// Headers of the PROXY protocol as no honest sender writes them, to the real program.
extension EndToEndTests {
    @Suite struct ProxyFuzzTests {
        private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
        private static let block: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0xde, 0xad, 1, 0xbb]

        private static func binary(_ command: UInt8, _ family: UInt8, _ block: [UInt8], length: Int? = nil) -> [UInt8] {
            let length = length ?? block.count
            return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xff)] + block
        }

        private static let good: [[UInt8]] = [
            Array("PROXY TCP4 192.0.2.1 198.51.100.7 57005 443\r\n".utf8), Array("PROXY TCP6 2001:db8::1 fd00::2 1 65535\r\n".utf8),
            Array("PROXY UNKNOWN\r\n".utf8),
            // LOCAL without a block and with one, IPv4 with extensions, of no family, of UDP.
            binary(0x20, 0, []), binary(0x20, 0xff, [1, 2, 3]), binary(0x21, 0x11, block), binary(0x21, 0x11, block + [4, 0, 2, 0, 0]),
            binary(0x21, 0, []), binary(0x21, 0x12, block),
        ]

        private static let bad: [[UInt8]] = [
            // An extension longer than the header, and one cut short.
            binary(0x21, 0x11, block + [4, 0xff, 0xff, 1, 2]), binary(0x21, 0x11, block + [4, 0]),
            // A family, a transport, a command and a version that there are not.
            binary(0x21, 0x41, block), binary(0x21, 0x13, block), binary(0x22, 0x11, block), binary(0x11, 0x11, block),
            binary(0x21, 0x11, block, length: 11), binary(0x20, 0, [], length: 65_535),
            Array("PROXY TCP4 1.2.3.4 5.6.7.8 65536 1\r\n".utf8), Array("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n".utf8),
            Array("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n".utf8), Array(("PROXY UNKNOWN " + String(repeating: "x", count: 100)).utf8),
        ]

        private static let payload = "what the client says"

        private func withService(_ engine: String, from: String = "127.0.0.0/8", _ body: (RunningRingway, Int) throws -> Void) throws {
            let backend = try CrowdBackend()
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let yaml = serviceYAML(
                port: port, endpoints: ["127.0.0.1:\(backend.port)"], annotations: ["accept-proxy-protocol-from": from])
            let file = try directory.write(yaml, to: "web.yaml")
            try withRingway(engine, [file], options: ["--proxy-header-timeout", "2s"]) { try body($0, port) }
        }

        /// Says a header and the payload, ends, and answers what came back; nil for a reset.
        private func answer(_ port: Int, _ header: [UInt8], pieces: Int = .max) throws -> String? {
            let client = try TestSocket(to: "127.0.0.1", port)
            do throws(TestSocket.Failure) {
                var rest = (header + Array(Self.payload.utf8))[...]
                while !rest.isEmpty {
                    try client.send(Array(rest.prefix(pieces)))
                    rest = rest.dropFirst(pieces)
                }
                client.shutdownWrite()
                return try client.receiveAll()
            } catch {
                // A piece may come after the reset that an earlier one has caused.
                guard error.errno == ECONNRESET || error.errno == EPIPE else { throw error }
                return nil
            }
        }

        @Test(arguments: Engines.available)
        func goodHeadersPassAndBadOnesAreResetWholeAndByteByByte(engine: String) throws {
            try withService(engine) { ringway, port in
                for pieces in [Int.max, 1] {
                    for header in Self.good { #expect(try answer(port, header, pieces: pieces) == Self.payload, "\(header)") }
                    for header in Self.bad { #expect(try answer(port, header, pieces: pieces) == nil, "\(header)") }
                }
                let bad = UInt64(2 * Self.bad.count)
                try waitUntil("the resets are counted") { try ringway.statistics().closed("proxy-header-bad") == bad }
                #expect(try ringway.statistics().connectionsAccepted == UInt64(2 * (Self.good.count + Self.bad.count)))
            }
        }

        @Test(arguments: Engines.available)
        func everyTruncationIsReset(engine: String) throws {
            try withService(engine) { ringway, port in
                var resets = 0
                for header in [Self.good[0], Self.good[6]] {
                    for length in 1..<header.count {
                        let client = try TestSocket(to: "127.0.0.1", port)
                        try client.send(Array(header[..<length]))
                        client.shutdownWrite()
                        #expect(client.ending() == ECONNRESET, "\(length) bytes of \(header)")
                        resets += 1
                    }
                }
                // One that is never finished ends by its timeout.
                let late = try TestSocket(to: "127.0.0.1", port)
                try late.send(Array(Self.good[5].dropLast()))
                #expect(late.ending() == ECONNRESET)
                try waitUntil("the resets are counted") { try ringway.statistics().closed("proxy-header-bad") == UInt64(resets + 1) }
            }
        }

        /// Whatever they make of a header, the answer is a reset, which is counted, or an echo of the last of what was said.
        @Test(arguments: Engines.available)
        func mutatedHeadersEndInAResetOrInAnEchoOfWhatFollowsThem(engine: String) throws {
            try withService(engine) { ringway, port in
                var random = Mutation(seed: 42)
                var resets: UInt64 = 0
                var echoes = 0
                for round in 0..<400 {
                    let header = random.mutate(Self.good[random.below(Self.good.count)])
                    let pieces = [Int.max, 1, 7][round % 3]
                    if let answer = try answer(port, header, pieces: pieces) {
                        let said = String(decoding: header + Array(Self.payload.utf8), as: UTF8.self)
                        #expect(said.hasSuffix(answer), "\(header)")
                        echoes += 1
                    } else {
                        resets += 1
                    }
                }
                #expect(resets > 100 && echoes > 20, "\(resets) resets, \(echoes) echoes")
                try waitUntil("the resets are counted") { try ringway.statistics().closed("proxy-header-bad") == resets }
                #expect(try answer(port, Self.good[0]) == Self.payload)
            }
        }

        @Test(arguments: Engines.available)
        func whatAStrangerSaysPassesWhateverItIs(engine: String) throws {
            try withService(engine, from: "127.9.9.9/32") { ringway, port in
                for header in Self.good + Self.bad {
                    let client = try TestSocket(to: "127.0.0.1", port)
                    try client.send(header)
                    client.shutdownWrite()
                    #expect(try Array(client.receiveAll().utf8) == Array(String(decoding: header, as: UTF8.self).utf8))
                }
                #expect(try ringway.statistics().closed("proxy-header-bad") == 0)
            }
        }
    }
}

/// Changes bytes as one seed says (xorshift64).
private struct Mutation {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func below(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state >> 33) % bound
    }

    mutating func mutate(_ header: [UInt8]) -> [UInt8] {
        var bytes = header
        for _ in 0...below(2) where !bytes.isEmpty {
            let place = below(bytes.count)
            switch below(5) {
            case 0: bytes[place] = UInt8(below(256))
            case 1: bytes[place] ^= 1 << UInt8(below(8))
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(bytes[below(bytes.count)], at: place)
            default: bytes.removeLast(bytes.count - place)
            }
        }
        return bytes
    }
}
