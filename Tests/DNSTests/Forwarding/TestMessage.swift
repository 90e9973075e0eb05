import Addressing
import Routing

@testable import DNS

/// A message as tests write it.
struct TestMessage {
    struct Record {
        var name: String
        var type: RecordType
        var ttl: UInt32 = 300
        var data: [UInt8]

        static func a(_ name: String, _ last: UInt8, ttl: UInt32 = 300) -> Record {
            Record(name: name, type: .a, ttl: ttl, data: [192, 0, 2, last])
        }
        static func cname(_ name: String, _ target: String, ttl: UInt32 = 300) -> Record {
            Record(name: name, type: .cname, ttl: ttl, data: wireName(target))
        }
        static func soa(_ name: String, ttl: UInt32, minimum: UInt32) -> Record {
            let numbers: [UInt32] = [1, 7200, 1800, 86400, minimum]
            let data = wireName("ns." + name) + wireName("admin." + name) + numbers.flatMap(bytes32)
            return Record(name: name, type: .soa, ttl: ttl, data: data)
        }
        static func text(_ name: String, _ length: Int) -> Record {
            Record(name: name, type: .txt, data: (0..<length / 256).flatMap { _ in [255] + [UInt8](repeating: 0x78, count: 255) })
        }
        /// With the upper bits of a code.
        static func opt(code: UInt32 = 0) -> Record { Record(name: ".", type: .opt, ttl: code << 24, data: []) }
    }

    var id: UInt16 = 0x1234
    var flags: UInt16 = Flags.recursionDesired
    var name = "www.example.com"
    var type = RecordType.a
    var recordClass: UInt16 = 1
    var answers: [Record] = []
    var authorities: [Record] = []
    var additionals: [Record] = []
    /// Whether owners that are the question's name point to it.
    var isCompressed = true

    var wire: [UInt8] {
        var bytes = bytes16(id) + bytes16(flags) + bytes16(1)
        for section in [answers, authorities, additionals] { bytes += bytes16(UInt16(section.count)) }
        bytes += wireName(name) + bytes16(type.rawValue) + bytes16(recordClass)
        for record in answers + authorities + additionals {
            bytes += isCompressed && record.name == name ? [0xc0, 12] : wireName(record.name)
            let recordClass: UInt16 = record.type == .opt ? 1232 : 1
            bytes += bytes16(record.type.rawValue) + bytes16(recordClass) + bytes32(record.ttl)
            bytes += bytes16(UInt16(record.data.count)) + record.data
        }
        return bytes
    }

    /// The reply to a question of ours, from its bytes.
    static func reply(
        to question: [UInt8], code: UInt16 = 0, flags: UInt16 = 0, answers: [Record] = [], authorities: [Record] = [],
        additionals: [Record] = [.opt()]
    ) -> [UInt8] {
        let read = ReadMessage(question)
        return TestMessage(
            id: read.id, flags: Flags.response | Flags.recursionAvailable | flags | code, name: read.name, type: read.type,
            recordClass: read.recordClass, answers: answers, authorities: authorities, additionals: additionals
        ).wire
    }
}

/// A message as tests read it: by itself, so that it does not share the reader's mistakes.
struct ReadMessage {
    struct Record: Equatable, CustomStringConvertible {
        var name: String
        var type: UInt16
        var ttl: UInt32
        var data: [UInt8]
        var description: String { "\(name) \(ttl) \(type) \(data)" }
    }

    let bytes: [UInt8]
    var name = ""
    var answers: [Record] = []
    var authorities: [Record] = []
    var additionals: [Record] = []
    private(set) var isWhole = true

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var position = 12
        name = readName(&position)
        position += 4
        func section(_ offset: Int) -> [Record] {
            (0..<number(offset)).map { _ in
                let name = readName(&position)
                let length = number(position + 8)
                defer { position += 10 + length }
                let ttl = UInt32(number(position + 4)) << 16 | UInt32(number(position + 6))
                return Record(
                    name: name, type: UInt16(number(position)), ttl: ttl, data: Array(bytes[position + 10..<position + 10 + length]))
            }
        }
        answers = section(6)
        authorities = section(8)
        additionals = section(10)
        isWhole = position == bytes.count
    }

    func number(_ offset: Int) -> Int { Int(bytes[offset]) << 8 | Int(bytes[offset + 1]) }

    func readName(_ position: inout Int) -> String {
        var text = ""
        var place = position
        var hasJumped = false
        while bytes[place] != 0 {
            let length = Int(bytes[place])
            if length >= 0xc0 {
                if !hasJumped { position = place + 2 }
                hasJumped = true
                place = number(place) & 0x3fff
                continue
            }
            text += String(decoding: bytes[place + 1...place + length], as: UTF8.self) + "."
            place += length + 1
        }
        if !hasJumped { position = place + 1 }
        return text.isEmpty ? "." : String(text.dropLast())
    }

    var id: UInt16 { UInt16(number(0)) }
    var flags: UInt16 { UInt16(number(2)) }
    var code: UInt16 { flags & 15 }
    var isTruncated: Bool { flags & Flags.truncated != 0 }
    private var questionEnd: Int {
        var position = 12
        _ = readName(&position)
        return position
    }
    var type: RecordType { RecordType(rawValue: UInt16(number(questionEnd))) }
    var recordClass: UInt16 { UInt16(number(questionEnd + 2)) }
    var opt: Record? { additionals.first { $0.type == 41 } }
}

func wireName(_ name: String) -> [UInt8] {
    name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
}
func bytes16(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
func bytes32(_ number: UInt32) -> [UInt8] { bytes16(UInt16(number >> 16)) + bytes16(UInt16(number & 0xffff)) }

extension TestMessage {
    /// What is known of it as a query.
    var query: Query {
        var query = Query()
        query.id = id
        query.flags = flags
        query.nameLength = wireName(name).count
        query.type = type
        query.recordClass = recordClass
        if let opt = additionals.first(where: { $0.type == .opt }) {
            query.hasEDNS = true
            query.payloadMax = 1232
            query.dnssecOK = opt.ttl & 0x8000 != 0
        }
        return query
    }
}
