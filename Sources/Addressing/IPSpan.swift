/// Addresses of one family without a gap, `10.0.0.8-10.0.0.20`; or all of a range, `10.0.0.0/24`.
package struct IPSpan: BitwiseCopyable, Hashable, Sendable {
    package let first: IPAddress
    package let last: IPAddress

    /// Parses `ADDRESS-ADDRESS` or `ADDRESS/BITS`; nil for anything else, and where the first comes after the last.
    package init?(_ text: some StringProtocol) {
        if let range = IPRange(text) {
            (first, last) = (range.address, range.last)
            return
        }
        guard let dash = text.firstIndex(of: "-"), let first = IPAddress(text[..<dash]),
            let last = IPAddress(text[text.index(after: dash)...]), first.family == last.family, first <= last
        else { return nil }
        (self.first, self.last) = (first, last)
    }

    package init(_ range: IPRange) { (first, last) = (range.address, range.last) }

    package func contains(_ address: IPAddress) -> Bool { first <= address && address <= last }

    package func overlaps(_ other: IPSpan) -> Bool { first <= other.last && other.first <= last }

    /// The fewest ranges that have these addresses and no others.
    package var ranges: [IPRange] {
        var ranges: [IPRange] = []
        var rest = Optional(first)
        while let start = rest, start <= last {
            let longest: UInt8 = start.family == .ipv4 ? 32 : 128
            guard let range = (0...longest).lazy.compactMap({ IPRange(start, prefix: $0) }).first(where: { $0.last <= last }) else { break }
            ranges.append(range)
            rest = range.last.next
        }
        return ranges
    }
}

extension IPSpan: CustomStringConvertible {
    /// A range where it is one, else both ends.
    package var description: String {
        let ranges = ranges
        return ranges.count == 1 ? ranges[0].description : "\(first)-\(last)"
    }
}

extension IPAddress {
    /// The one behind it; nil behind the last of all.
    package var next: IPAddress? {
        switch family {
        case .ipv4: return low == UInt64(UInt32.max) ? nil : IPAddress(ipv4: UInt32(low) + 1)
        case .ipv6:
            let (low, carries) = low.addingReportingOverflow(1)
            if carries, high == .max { return nil }
            return IPAddress(ipv6High: carries ? high + 1 : high, low: low)
        }
    }
}

extension IPRange {
    /// Its last address, whatever that is for.
    package var last: IPAddress {
        func free(_ bits: Int) -> UInt64 { bits <= 0 ? UInt64.max : bits >= 64 ? 0 : UInt64.max >> UInt64(bits) }
        switch address.family {
        case .ipv4: return IPAddress(ipv4: UInt32(truncatingIfNeeded: address.low | free(Int(prefix) + 32)))
        case .ipv6:
            return IPAddress(ipv6High: address.high | free(Int(prefix)), low: address.low | free(Int(prefix) - 64))
        }
    }
}
