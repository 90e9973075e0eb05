internal import Addressing

extension IPAddress {
    /// Reads the label of a Pod's name, an address with dashes for its dots or colons: `10-244-0-7`, `fd00-244--7`. Never allocates.
    init?(dashed bytes: Span<UInt8>, _ range: Range<Int>) {
        var dashes = 0
        var isCompressed = false
        for index in range where bytes[index] == UInt8(ascii: "-") {
            dashes += 1
            if index > range.lowerBound, bytes[index - 1] == UInt8(ascii: "-") { isCompressed = true }
        }
        if dashes == 3, !isCompressed {
            self.init(dashedIPv4: bytes, range)
        } else {
            self.init(dashedIPv6: bytes, range)
        }
    }

    private init?(dashedIPv4 bytes: Span<UInt8>, _ range: Range<Int>) {
        var bits: UInt32 = 0
        var start = range.lowerBound
        for _ in 0..<4 {
            var end = start
            while end < range.upperBound, bytes[end] != UInt8(ascii: "-") { end += 1 }
            guard let octet = UInt8(decimal: bytes, start..<end) else { return nil }
            bits = bits << 8 | UInt32(octet)
            start = min(end + 1, range.upperBound)
        }
        self.init(ipv4: bits)
    }

    private init?(dashedIPv6 bytes: Span<UInt8>, _ range: Range<Int>) {
        // Groups before and after `--`, each as 128 bits.
        var (head, tail) = (UInt128(0), UInt128(0))
        var (headCount, tailCount) = (0, 0)
        var isCompressed = false
        var position = range.lowerBound
        while position < range.upperBound {
            if bytes[position] == UInt8(ascii: "-") {
                // One dash parts groups; two of them stand for zeros, and may begin the label.
                let isDouble = position + 1 < range.upperBound && bytes[position + 1] == UInt8(ascii: "-")
                if isDouble {
                    guard !isCompressed else { return nil }
                    isCompressed = true
                    position += 2
                    continue
                }
                guard headCount + tailCount > 0, position > range.lowerBound, bytes[position - 1] != UInt8(ascii: "-"),
                    position + 1 < range.upperBound
                else { return nil }
                position += 1
                continue
            }
            var group: UInt128 = 0
            var digits = 0
            while position < range.upperBound, let digit = bytes[position].hexDigit {
                group = group << 4 | UInt128(digit)
                digits += 1
                position += 1
            }
            guard (1...4).contains(digits), position == range.upperBound || bytes[position] == UInt8(ascii: "-") else { return nil }
            if isCompressed {
                tail = tail << 16 | group
                tailCount += 1
            } else {
                head = head << 16 | group
                headCount += 1
            }
            guard headCount + tailCount <= 8 else { return nil }
        }
        let missing = 8 - headCount - tailCount
        guard isCompressed ? missing >= 1 : missing == 0 else { return nil }
        let value = (headCount == 0 ? 0 : head << UInt128((8 - headCount) * 16)) | tail
        self.init(ipv6High: UInt64(truncatingIfNeeded: value >> 64), low: UInt64(truncatingIfNeeded: value))
    }
}

extension UInt8 {
    /// A number of one to three digits, without zeros before it.
    init?(decimal bytes: Span<UInt8>, _ range: Range<Int>) {
        guard (1...3).contains(range.count), range.count == 1 || bytes[range.lowerBound] != UInt8(ascii: "0") else { return nil }
        var value = 0
        for index in range {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
        }
        guard value < 256 else { return nil }
        self = UInt8(value)
    }

    var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
