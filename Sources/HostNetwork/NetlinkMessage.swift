import Addressing

/// One message of rtnetlink(7), without its header's length: what it is, and its body as bytes of this machine's order.
struct NetlinkMessage: Equatable {
    enum Kind {
        static let error: UInt16 = 2
        static let done: UInt16 = 3
        static let newLink: UInt16 = 16
        static let getLink: UInt16 = 18
        static let newAddress: UInt16 = 20
        static let deleteAddress: UInt16 = 21
        static let getAddress: UInt16 = 22
        static let newRoute: UInt16 = 24
        static let deleteRoute: UInt16 = 25
        static let getRoute: UInt16 = 26
    }

    struct Flags: OptionSet {
        let rawValue: UInt16
        static let request = Flags(rawValue: 1)
        static let acknowledge = Flags(rawValue: 4)
        static let dump = Flags(rawValue: 0x300)
        static let exclusive = Flags(rawValue: 0x200)
        static let create = Flags(rawValue: 0x400)
    }

    static let headerBytes = 16

    var kind: UInt16
    var flags: Flags
    var sequence: UInt32 = 0
    var body: [UInt8]

    init(kind: UInt16, flags: Flags, sequence: UInt32 = 0, body: [UInt8]) {
        self.kind = kind
        self.flags = flags
        self.sequence = sequence
        self.body = body
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(native: UInt32(Self.headerBytes + body.count))
        bytes.append(native: kind)
        bytes.append(native: flags.rawValue)
        bytes.append(native: sequence)
        bytes.append(native: UInt32(0))
        return bytes + body
    }

    /// The messages in what one receive has brought; whatever is cut off at its end is left out.
    static func all(in bytes: [UInt8]) -> [NetlinkMessage] {
        var messages: [NetlinkMessage] = []
        var offset = 0
        while let length = bytes.native(UInt32.self, at: offset).map(Int.init), length >= headerBytes, offset + length <= bytes.count {
            messages.append(
                NetlinkMessage(
                    kind: bytes.native(UInt16.self, at: offset + 4)!, flags: Flags(rawValue: bytes.native(UInt16.self, at: offset + 6)!),
                    sequence: bytes.native(UInt32.self, at: offset + 8)!, body: Array(bytes[offset + headerBytes..<offset + length])))
            offset += length + 3 & ~3
        }
        return messages
    }

    /// The errno that an acknowledgement or an error carries; nil of other messages.
    var errorNumber: Int32? { kind == Kind.error ? body.native(Int32.self, at: 0).map { -$0 } : nil }

    /// The attributes behind a fixed part of the body, the first of each type.
    func attributes(after fixedBytes: Int) -> [UInt16: [UInt8]] {
        var attributes: [UInt16: [UInt8]] = [:]
        var offset = fixedBytes
        while let length = body.native(UInt16.self, at: offset).map(Int.init), length >= 4, offset + length <= body.count {
            // The two highest bits of a type say how its value is coded.
            let type = body.native(UInt16.self, at: offset + 2)! & 0x3fff
            if attributes[type] == nil { attributes[type] = Array(body[offset + 4..<offset + length]) }
            offset += length + 3 & ~3
        }
        return attributes
    }
}

extension [UInt8] {
    mutating func append(native value: some FixedWidthInteger) {
        var rest = value.littleEndian
        var bytes: [UInt8] = []
        for _ in 0..<(value.bitWidth / 8) {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
        append(contentsOf: isLittleEndian ? bytes : bytes.reversed())
    }

    /// An integer as the kernel writes it; nil where the bytes end before.
    func native<Value: FixedWidthInteger>(_: Value.Type, at offset: Int) -> Value? {
        let width = Value.bitWidth / 8
        guard offset >= 0, offset + width <= count else { return nil }
        let bytes = self[offset..<offset + width]
        return (isLittleEndian ? Array(bytes.reversed()) : Array(bytes)).reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
    }

    mutating func append(attribute type: UInt16, _ value: [UInt8]) {
        append(native: UInt16(4 + value.count))
        append(native: type)
        append(contentsOf: value)
        while count % 4 != 0 { append(0) }
    }
}

private let isLittleEndian = UInt16(1).littleEndian == 1

extension IPAddress {
    /// 4 or 16 bytes, in the network's order.
    var bytes: [UInt8] {
        let all = [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } }
        return family == .ipv4 ? Array(all.suffix(4)) : all
    }

    /// nil for any other number of bytes.
    init?(bytes: [UInt8]) {
        func word(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(ipv4: UInt32(word(bytes[...])))
        case 16: self.init(ipv6High: word(bytes[..<8]), low: word(bytes[8...]))
        default: return nil
        }
    }
}
