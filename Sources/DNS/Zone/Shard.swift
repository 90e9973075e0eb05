internal import Addressing
internal import Routing

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
        Int(bytes[offset]) | Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2]) << 16 | Int(bytes[offset + 3]) << 24
    }

    static func append(_ number: Int, to bytes: inout [UInt8]) {
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
}

/// The hash of keys: FNV-1a and a finaliser. Whoever asks can't choose what is in the table, only what is not.
struct KeyHash: BitwiseCopyable {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    @inline(__always)
    mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }

    @inline(__always)
    mutating func addLowercased(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        for index in range { add(bytes[index].lowercased) }
    }

    mutating func add(_ address: IPAddress) {
        switch address.family {
        case .ipv4: for shift in stride(from: UInt64(24), through: 0, by: -8) { add(UInt8(truncatingIfNeeded: address.low >> shift)) }
        case .ipv6:
            for half in 0..<2 {
                let bits = half == 0 ? address.high : address.low
                for shift in stride(from: UInt64(56), through: 0, by: -8) { add(UInt8(truncatingIfNeeded: bits >> shift)) }
            }
        }
    }

    @inline(__always)
    var value: UInt64 { Mixer.mix(state) }

    static func of(_ key: [UInt8]) -> UInt64 {
        var hash = KeyHash()
        for byte in key { hash.add(byte) }
        return hash.value
    }
}
