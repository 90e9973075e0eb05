/// What a zone knows of a name: the first byte of an entry's value, and how the rest is laid out.
enum EntryKind: UInt8 {
    /// It exists, without records.
    case bare
    /// Addresses: counts of A and AAAA (4 each), then the addresses themselves.
    case host
    /// A Service with virtual addresses: as `host`, then 1 where it has an endpoint, else 0, then its SRV items to the end.
    case service
    /// The same of one without virtual addresses.
    case headless
    /// `_port._proto` of the Service whose name stands behind it: the index of the port (1).
    case port
    /// Another name: in wire form, with the root.
    case alias
    /// Names at an address: each a flag, 1 for a virtual address and 0 for an endpoint, a length, and the name without domain and root.
    case pointer
}

/// A Service's SRV records, one after the other: port index (1), repeats (1), port (2, network order), length of the label (1), the
/// target's label in the Service, with its length in wire form; none for the Service's own name.
struct ServiceItem {
    static let headerLength = 5
    /// The index of ports that have no name.
    static let unnamed: UInt8 = 255

    /// What the items before it have already.
    struct Repeats: OptionSet, BitwiseCopyable {
        let rawValue: UInt8
        /// The same target and port.
        static let record = Repeats(rawValue: 1)
        /// The same target.
        static let target = Repeats(rawValue: 2)
        /// The same target, under this port's name.
        static let targetOfPort = Repeats(rawValue: 4)
    }

    let portIndex: UInt8
    let repeats: Repeats
    let port: UInt16
    let label: Range<Int>

    /// The item at an offset; the next one begins at `label.upperBound`.
    init(_ bytes: Span<UInt8>, at offset: Int) {
        portIndex = bytes[offset]
        repeats = Repeats(rawValue: bytes[offset + 1])
        port = UInt16(bytes[offset + 2]) << 8 | UInt16(bytes[offset + 3])
        let start = offset + Self.headerLength
        label = start..<start + Int(bytes[offset + 4])
    }
}

/// Where the addresses of a host or a Service stand.
struct AddressLists: BitwiseCopyable {
    let countIPv4: Int
    let countIPv6: Int
    let offset: Int

    /// - Parameter place: of the entry's value.
    init(_ bytes: Span<UInt8>, _ place: Shard.Place) {
        countIPv4 = Shard.number(bytes, place.offset + 1)
        countIPv6 = Shard.number(bytes, place.offset + 5)
        offset = place.offset + 9
    }

    var offsetIPv6: Int { offset + countIPv4 * 4 }
    /// Behind both.
    var end: Int { offsetIPv6 + countIPv6 * 16 }
}
