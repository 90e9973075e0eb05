internal import Addressing

/// A reply in words, for people: off every path where it matters how long it takes.
package struct MessageText: Sendable {
    package struct Record: Hashable, Sendable {
        package enum Section: String, Sendable { case answer, authority, additional }

        package let section: Section
        /// With a final dot.
        package let name: String
        package let ttl: UInt32
        /// `A`; `TYPE64` for what has no name here.
        package let type: String
        /// As a zone file has it.
        package let data: String
    }

    package private(set) var code: UInt16 = 0
    package private(set) var records: [Record] = []

    /// nil where the bytes are no message.
    package init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard bytes.count >= 12 else { return nil }
        code = UInt16(bytes[3] & 0x0f)
        reader.position = 4
        let counts = (0..<4).map { _ in Int(reader.number(2)) }
        for _ in 0..<counts[0] {
            _ = reader.name()
            _ = reader.number(4)
        }
        for (section, count) in zip([Record.Section.answer, .authority, .additional], counts.dropFirst()) {
            for _ in 0..<count {
                guard let record = reader.record(section) else { continue }
                records.append(record)
            }
        }
        if reader.isBroken { return nil }
    }

    /// `NXDOMAIN`.
    package var codeName: String {
        [0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"][code] ?? "RCODE\(code)"
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0
        var isBroken = false

        mutating func number(_ octets: Int) -> UInt32 {
            guard position + octets <= bytes.count else {
                isBroken = true
                return 0
            }
            defer { position += octets }
            return bytes[position..<position + octets].reduce(0) { $0 << 8 | UInt32($1) }
        }

        /// A name, compressed or not (RFC 1035, 4.1.4).
        mutating func name() -> String {
            var text = ""
            var place = position
            var end: Int?
            // As many steps as a name has labels, and as many pointers.
            for _ in 0..<256 {
                guard place < bytes.count else { break }
                let length = Int(bytes[place])
                if length == 0 {
                    position = end ?? place + 1
                    return text.isEmpty ? "." : text
                }
                if length >= 0xc0 {
                    guard place + 1 < bytes.count else { break }
                    end = end ?? place + 2
                    place = (length & 0x3f) << 8 | Int(bytes[place + 1])
                    continue
                }
                guard place + 1 + length <= bytes.count else { break }
                text += String(decoding: bytes[place + 1..<place + 1 + length], as: UTF8.self) + "."
                place += 1 + length
            }
            isBroken = true
            return text
        }

        /// nil for OPT, which is none.
        mutating func record(_ section: Record.Section) -> Record? {
            let owner = name()
            let type = UInt16(truncatingIfNeeded: number(2))
            _ = number(2)
            let ttl = number(4)
            let length = Int(number(2))
            let end = position + length
            guard !isBroken, end <= bytes.count else {
                isBroken = true
                return nil
            }
            defer { position = end }
            guard type != RecordType.opt.rawValue else { return nil }
            return Record(section: section, name: owner, ttl: ttl, type: RecordType(rawValue: type).name, data: data(type, length))
        }

        private mutating func data(_ type: UInt16, _ length: Int) -> String {
            let octets = bytes[position..<position + length]
            switch RecordType(rawValue: type) {
            case .a where length == 4: return IPAddress(ipv4: number(4)).description
            case .aaaa where length == 16:
                let words = (0..<4).map { _ in UInt64(number(4)) }
                return IPAddress(ipv6High: words[0] << 32 | words[1], low: words[2] << 32 | words[3]).description
            case .cname, .ns, .ptr: return name()
            case .srv: return "\(number(2)) \(number(2)) \(number(2)) \(name())"
            case .soa: return "\(name()) \(name()) \((0..<5).map { _ in "\(number(4))" }.joined(separator: " "))"
            case .txt, .hinfo:
                var rest = octets
                var texts: [String] = []
                while let count = rest.popFirst() {
                    texts.append("\"\(String(decoding: rest.prefix(Int(count)), as: UTF8.self))\"")
                    rest = rest.dropFirst(Int(count))
                }
                return texts.joined(separator: " ")
            default: return octets.map { String($0, radix: 16) }.joined(separator: " ")
            }
        }
    }
}

extension RecordType {
    private static let names: [(RecordType, String)] = [
        (.a, "A"), (.ns, "NS"), (.cname, "CNAME"), (.soa, "SOA"), (.ptr, "PTR"), (.hinfo, "HINFO"), (.txt, "TXT"), (.aaaa, "AAAA"),
        (.srv, "SRV"), (.any, "ANY"),
    ]

    /// `A`, or `TYPE64` (RFC 3597, 5).
    package var name: String { Self.names.first { $0.0 == self }?.1 ?? "TYPE\(rawValue)" }

    /// The type of such a name; nil where it is none.
    package init?(named name: String) {
        let name = name.uppercased()
        if let known = Self.names.first(where: { $0.1 == name }) {
            self = known.0
            return
        }
        guard name.hasPrefix("TYPE"), let number = UInt16(name.dropFirst(4)) else { return nil }
        self.init(rawValue: number)
    }
}
