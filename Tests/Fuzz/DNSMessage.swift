internal import Addressing

/// A DNS message as whoever gets it reads it: independent of the program's own reader, and strict.
package struct DNSMessage: Sendable {
    package struct Record: Hashable, Sendable, CustomStringConvertible {
        package var name: String
        package var type: UInt16
        package var recordClass: UInt16
        package var ttl: UInt32
        /// In zone-file text, where the type is known.
        package var data: String

        package var typeName: String { DNSMessage.typeNames[type] ?? "TYPE\(type)" }
        package var description: String { "\(name) \(ttl) \(typeName) \(data)" }
    }

    package struct Malformed: Error, CustomStringConvertible {
        package let description: String
    }

    package static let typeNames: [UInt16: String] = [
        1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 41: "OPT", 251: "IXFR",
        252: "AXFR", 255: "ANY",
    ]
    package static func type(named name: String) -> UInt16? { typeNames.first { $0.value == name }?.key }

    package private(set) var id: UInt16 = 0
    package private(set) var flags: UInt16 = 0
    package private(set) var questionName: String?
    package private(set) var questionType: UInt16 = 0
    package private(set) var questionClass: UInt16 = 0
    package private(set) var answers: [Record] = []
    package private(set) var authorities: [Record] = []
    /// Without OPT.
    package private(set) var additionals: [Record] = []
    package private(set) var opt: Record?

    package var isResponse: Bool { flags & 0x8000 != 0 }
    package var isAuthoritative: Bool { flags & 0x0400 != 0 }
    package var isTruncated: Bool { flags & 0x0200 != 0 }
    /// With the bits that stand in OPT.
    package var code: UInt16 { flags & 0xf | UInt16((opt?.ttl ?? 0) >> 24) << 4 }

    /// Reads all of the bytes.
    package init(_ bytes: [UInt8]) throws {
        var reader = Reader(bytes: bytes)
        id = try reader.number16()
        flags = try reader.number16()
        let counts = try (0..<4).map { _ in try reader.number16() }
        guard counts[0] <= 1 else { throw Malformed(description: "\(counts[0]) questions") }
        if counts[0] == 1 {
            questionName = try reader.name()
            questionType = try reader.number16()
            questionClass = try reader.number16()
        }
        answers = try (0..<counts[1]).map { _ in try reader.record() }
        authorities = try (0..<counts[2]).map { _ in try reader.record() }
        for record in try (0..<counts[3]).map({ _ in try reader.record() }) {
            if record.type == 41 {
                guard opt == nil, record.name == "." else { throw Malformed(description: "a second OPT, or one with a name") }
                opt = record
            } else {
                additionals.append(record)
            }
        }
        guard reader.position == bytes.count else { throw Malformed(description: "bytes behind the last record") }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func number8() throws -> UInt8 {
            guard position < bytes.count else { throw Malformed(description: "cut off at \(position)") }
            defer { position += 1 }
            return bytes[position]
        }

        mutating func number16() throws -> UInt16 { UInt16(try number8()) << 8 | UInt16(try number8()) }
        mutating func number32() throws -> UInt32 { UInt32(try number16()) << 16 | UInt32(try number16()) }

        mutating func name() throws -> String {
            var text = ""
            var length = 1
            var resume: Int?
            while true {
                let place = position
                let byte = try number8()
                if byte == 0 { break }
                if byte >= 0xc0 {
                    let target = Int(byte & 0x3f) << 8 | Int(try number8())
                    // Pointers lead back, so they end.
                    guard target < place else { throw Malformed(description: "a pointer at \(place) to \(target)") }
                    resume = resume ?? position
                    position = target
                    continue
                }
                guard byte < 64 else { throw Malformed(description: "a label of \(byte) octets") }
                length += 1 + Int(byte)
                guard length <= 255 else { throw Malformed(description: "a name longer than 255 octets") }
                for _ in 0..<byte {
                    let character = try number8()
                    text += (33...126).contains(character) && character != 46 ? String(UnicodeScalar(character)) : "\\\(character)"
                }
                text += "."
            }
            position = resume ?? position
            return text.isEmpty ? "." : text
        }

        mutating func record() throws -> Record {
            var record = Record(name: try name(), type: try number16(), recordClass: try number16(), ttl: try number32(), data: "")
            let end = Int(try number16()) + position
            guard end <= bytes.count else { throw Malformed(description: "data beyond the end") }
            record.data = try data(record.type, end)
            guard position == end else { throw Malformed(description: "\(record): its data are \(position - end) octets too long") }
            return record
        }

        private mutating func data(_ type: UInt16, _ end: Int) throws -> String {
            switch type {
            case 1: return try (0..<4).map { _ in String(try number8()) }.joined(separator: ".")
            case 28:
                let halves = try (0..<2).map { _ in UInt64(try number32()) << 32 | UInt64(try number32()) }
                return IPAddress(ipv6High: halves[0], low: halves[1]).description
            case 2, 5, 12: return try name()
            case 6:
                let names = [try name(), try name()]
                return (names + (try (0..<5).map { _ in String(try number32()) })).joined(separator: " ")
            case 13, 16:
                var strings: [String] = []
                while position < end { strings.append(try string()) }
                return strings.joined(separator: " ")
            case 33:
                let numbers = try (0..<3).map { _ in String(try number16()) }
                let start = position
                let target = try name()
                guard bytes[start..<position].count == target.utf8.count + 1 else {
                    throw Malformed(description: "the target of an SRV record is compressed")
                }
                return (numbers + [target]).joined(separator: " ")
            default:
                defer { position = end }
                return bytes[position..<end].map { String($0, radix: 16) }.joined(separator: " ")
            }
        }

        private mutating func string() throws -> String {
            String(decoding: try (0..<(try number8())).map { _ in try number8() }, as: UTF8.self)
        }
    }
}
