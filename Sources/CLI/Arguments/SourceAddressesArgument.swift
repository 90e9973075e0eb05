internal import Addressing
internal import Forwarding

/// `--source-addresses`: addresses and small ranges, `10.0.0.5,10.0.0.8/29,fd00::5`.
struct SourceAddressesArgument: Equatable {
    /// What is wrong, in words.
    struct Malformed: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// In the order given.
    let addresses: [IPAddress]

    init() { addresses = [] }

    init(_ text: String) throws(Malformed) {
        var addresses: [IPAddress] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            addresses += try Self.addresses(item.drop { $0 == " " })
        }
        for address in addresses {
            if address.isUnspecified { throw Malformed(description: "\(address) is no address to connect from.") }
            if addresses.count(where: { $0 == address }) > 1 { throw Malformed(description: "\(address) is listed twice.") }
        }
        for family in [IPAddress.Family.ipv4, .ipv6] where addresses.count(where: { $0.family == family }) > SourceAddresses.max {
            throw Malformed(description: "At most \(SourceAddresses.max) addresses of each family.")
        }
        self.addresses = addresses
    }

    private static func addresses(_ item: Substring) throws(Malformed) -> [IPAddress] {
        if let address = IPAddress(item) { return [address] }
        guard let range = IPRange(item) else {
            throw Malformed(description: "\"\(item)\" is neither an address nor a range like 10.0.0.8/29.")
        }
        let bits = (range.address.family == .ipv4 ? 32 : 128) - Int(range.prefix)
        guard bits < 64, 1 << bits <= SourceAddresses.max else {
            throw Malformed(description: "\(range) is more than \(SourceAddresses.max) addresses.")
        }
        return (0..<UInt64(1) << UInt64(bits)).map { offset in
            switch range.address.family {
            case .ipv4: IPAddress(ipv4: UInt32(range.address.low + offset))
            case .ipv6: IPAddress(ipv6High: range.address.high, low: range.address.low + offset)
            }
        }
    }
}
