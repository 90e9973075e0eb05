internal import Addressing

/// A part of the zone: an open-addressing table and its entries in one run of bytes, so that a look-up holds one object and follows no
/// pointer. An empty shard has no bytes.
///
///     log2 of slots (1) · slots (4 each: place of an entry, 0 for none) · entries
///     entry: hash (4) · length of key (1) · length of value (4) · key · value
///
/// Numbers are little-endian. Keys, all lower case:
///
///     a name without the domain and the root, in wire form         begins with 1...63
///     address (4 or 16), of reverse names                          begins with 0x84 or 0x90
///     address, namespace, of Pods that are verified                begins with 0xc4 or 0xd0
enum Shard {
    static let slotsOffset = 1
    static let entryHeaderLength = 9

    static let reverseIPv4: UInt8 = 0x84
    static let reverseIPv6: UInt8 = 0x90
    static let podIPv4: UInt8 = 0xc4
    static let podIPv6: UInt8 = 0xd0

    /// An entry's value within a shard.
    struct Place: BitwiseCopyable {
        var shard: Int
        var offset: Int
        var end: Int
    }

    @inline(__always)
    static func number(_ bytes: Span<UInt8>, _ offset: Int) -> Int {
        let part = bytes.extracting(offset..<offset &+ 4)
        return Int(part[0]) | Int(part[1]) << 8 | Int(part[2]) << 16 | Int(part[3]) << 24
    }

    static func address(_ bytes: Span<UInt8>, _ offset: Int, _ family: IPAddress.Family) -> IPAddress {
        switch family {
        case .ipv4: IPAddress(ipv4: UInt32(truncatingIfNeeded: number(bytes, offset)).byteSwapped)
        case .ipv6: IPAddress(ipv6High: bytes.word(at: offset).byteSwapped, low: bytes.word(at: offset + 8).byteSwapped)
        }
    }

    static func append(_ number: Int, to bytes: inout [UInt8]) {
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
}

/// The hash of keys. Names are taken as their first label and the rest, so that both may stand apart. Whoever asks can't choose what is in
/// the table, only what is not.
enum NameHash {
    @inline(__always)
    static func add(_ word: UInt64, _ state: UInt64) -> UInt64 {
        let product = (state ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low
    }

    @inline(__always)
    static func of(_ first: Span<UInt8>, _ label: Range<Int>, before second: Span<UInt8>, _ rest: Range<Int>) -> UInt64 {
        let state = first.nameHash(label, 0x2545_f491_4f6c_dd1d &+ UInt64(label.count))
        return add(0x8ebc_6af0_9c88_c6e3, second.nameHash(rest, state &+ UInt64(rest.count)))
    }

    static func of(_ tag: UInt8, _ address: IPAddress, _ namespace: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        let state = add(address.high, add(address.low, UInt64(tag)))
        return add(0x8ebc_6af0_9c88_c6e3, namespace.nameHash(range, state))
    }

    static func of(_ key: [UInt8]) -> UInt64 {
        let bytes = key.span
        let length = Int(key[0])
        if length < 64 { return of(bytes, 0..<1 + length, before: bytes, 1 + length..<key.count) }
        let isIPv4 = key[0] == Shard.reverseIPv4 || key[0] == Shard.podIPv4
        let end = isIPv4 ? 5 : 17
        return of(key[0], Shard.address(bytes, 1, isIPv4 ? .ipv4 : .ipv6), bytes, end..<key.count)
    }
}
